"""RunInstances: what is asked for, completed by a launch template, checked, and begun."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.ec2 import images, launch_templates, life, user_data, volumes
from atelier.cloud.services.ec2.service import (
    SERVICE,
    found,
    groups,
    instances,
    new_id,
    now,
    unsupported,
)
from atelier.cloud.services.ec2.service import volumes as volume_table
from atelier.cloud.services.ec2.show import reservation
from atelier.cloud.services.ec2.tags import checked, plain
from atelier.cloud.services.roles import pass_role
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

TRUSTED = "ec2.amazonaws.com"
OWN = ("MinCount", "MaxCount", "LaunchTemplate", "ClientToken")
METADATA = {
    "HttpTokens": "required",
    "HttpEndpoint": "enabled",
    "HttpPutResponseHopLimit": 1,
    "InstanceMetadataTags": "disabled",
}
LIVE = ("pending", "running", "stopping")


def on_launch(cloud: Cloud, request: Document) -> list[str]:
    """Authorise on instances and volumes, and on the launch template that is named."""
    named = request.get("LaunchTemplate")
    template = launch_templates.one(cloud, named)["LaunchTemplateId"] if named else None
    own = [cloud.arn("ec2", "instance/*"), cloud.arn("ec2", "volume/*")]
    return [*own, cloud.arn("ec2", f"launch-template/{template}")] if template else own


@SERVICE.operation("RunInstances", on=on_launch)
def run(cloud: Cloud, request: Document) -> Document:
    """Start instances; what cannot be started at all is refused before there is anything."""
    unsupported(request, (*OWN, *launch_templates.DATA), "RunInstances")
    life.engine(cloud)
    with life.of(cloud).changing:
        if known := _known(cloud, request.get("ClientToken")):
            return reservation(cloud, known)
        wanted, template = _merged(cloud, request)
        count = _count(cloud, request)
        made = [_made(cloud, wanted, template, request.get("ClientToken")) for _ in range(count)]
        for record in made:
            record["ReservationId"] = made[0]["ReservationId"]
            _put(cloud, record)
    for record in made:
        life.of(cloud).boot(record["InstanceId"])
    return reservation(cloud, made)


def _known(cloud: Cloud, token: str | None) -> list[Record]:
    """Return what the same request has started before."""
    return [each for _, each in instances(cloud).items() if token and each["ClientToken"] == token]


def _merged(cloud: Cloud, request: Document) -> tuple[Document, dict[str, str]]:
    """Return what the request says, and what the launch template says where the request does not."""
    own = {name: value for name, value in request.items() if name in launch_templates.DATA}
    named = request.get("LaunchTemplate")
    if not named:
        return own, {}
    record, version, data = launch_templates.data(cloud, named)
    tags = [*data.get("TagSpecifications", ()), *own.get("TagSpecifications", ())]
    mark = {
        "aws:ec2launchtemplate:id": record["LaunchTemplateId"],
        "aws:ec2launchtemplate:version": str(version),
    }
    metadata = {**data.get("MetadataOptions", {}), **own.get("MetadataOptions", {})}
    return {**data, **own, "TagSpecifications": tags, "MetadataOptions": metadata}, mark


def _count(cloud: Cloud, request: Document) -> int:
    least, most = int(request["MinCount"]), int(request["MaxCount"])
    if not 0 < least <= most:
        raise ServiceError(
            "InvalidParameterValue", f"MinCount {least} and MaxCount {most} are not 1 <= min <= max"
        )
    limit = life.of(cloud).settings.instances
    free = limit - sum(each["State"] in LIVE for _, each in instances(cloud).items())
    if free < least:
        raise ServiceError(
            "InstanceLimitExceeded",
            f"You have requested more instances ({least}) than the {max(free, 0)} that your quota of {limit}"
            f" leaves: end some, or raise `instances` in {cloud.home / 'ec2.json'}",
        )
    return min(most, free)


def _made(cloud: Cloud, wanted: Document, mark: Mapping[str, str], token: str | None) -> Record:
    """Return the record of a new instance with its volumes; raise ServiceError for what cannot be."""
    if "ImageId" not in wanted:
        raise ServiceError("MissingParameter", "The request must contain the parameter ImageId")
    specified = _tags(wanted.get("TagSpecifications", ()))
    encoded = wanted.get("UserData", "")
    user_data.check(encoded)
    planned = volumes.planned(wanted.get("BlockDeviceMappings", ()))
    return {
        "InstanceId": new_id("i"),
        "ReservationId": new_id("r"),
        "LaunchTime": now(),
        "State": "pending",
        "Reason": None,
        "ImageId": images.resolved(wanted["ImageId"]),
        "InstanceType": wanted.get("InstanceType", "m1.small"),
        "Address": _address(cloud),
        "Profile": _profile(cloud, wanted.get("IamInstanceProfile")),
        "Groups": [each["GroupId"] for each in _groups(cloud, wanted)],
        "UserData": encoded,
        "Shutdown": wanted.get("InstanceInitiatedShutdownBehavior", "stop"),
        "Metadata": _metadata(wanted),
        "Lifecycle": _lifecycle(wanted),
        "ClientToken": token or "",
        "Tags": {**specified.get("instance", {}), **mark},
        "Volumes": [{**each, "Tags": specified.get("volume", {})} for each in planned],
    }


def _put(cloud: Cloud, record: Record) -> None:
    for volume in record.pop("Volumes"):
        volume_table(cloud).put(volume["VolumeId"], {**volume, "Instance": record["InstanceId"]})
    instances(cloud).put(record["InstanceId"], record)


def _tags(specifications: Sequence[Document]) -> dict[str, dict[str, str]]:
    tags: dict[str, dict[str, str]] = {}
    for each in specifications:
        kind = each.get("ResourceType")
        if kind not in ("instance", "volume"):
            raise ServiceError("UnsupportedOperation", f"tags of a {kind} are not part of the local cloud")
        tags[kind] = {**tags.get(kind, {}), **checked(plain(each.get("Tags", ())))}
    return tags


def _groups(cloud: Cloud, wanted: Document) -> list[Record]:
    ids = wanted.get("SecurityGroupIds")
    return found(groups(cloud), ids, "InvalidGroup.NotFound", "security group") if ids else []


def _profile(cloud: Cloud, named: Document | None) -> dict[str, Any] | None:
    """Return the instance profile; its role is passed by whoever calls."""
    if not named:
        return None
    name = named.get("Arn") or named.get("Name", "")
    profile = cloud.identity.profile(name)
    if profile is None:
        raise ServiceError("InvalidParameterValue", f"Value ({name}) for iamInstanceProfile is invalid")
    if profile.role_arn:
        pass_role(cloud, profile.role_arn, TRUSTED)
    return {"Arn": profile.arn, "Id": profile.id, "Role": profile.role_arn}


def _metadata(wanted: Document) -> dict[str, Any]:
    given = wanted.get("MetadataOptions", {})
    unsupported(given, METADATA, "MetadataOptions")
    return {**METADATA, **given}


def _lifecycle(wanted: Document) -> str:
    """Return whether an instance is paid by the hour, or a spot one that may be taken away."""
    market = wanted.get("InstanceMarketOptions", {})
    unsupported(market, ("MarketType", "SpotOptions"), "InstanceMarketOptions")
    if market.get("MarketType") != "spot":
        return "on-demand"
    lasts = market.get("SpotOptions", {}).get("SpotInstanceType", "one-time") == "persistent"
    if not lasts and wanted.get("InstanceInitiatedShutdownBehavior", "stop") == "stop":
        behaviour = "InstanceInitiatedShutdownBehavior"
        raise ServiceError(
            "InvalidParameterCombination", f"{behaviour} 'stop' is not for one-time spot instances"
        )
    return "spot"


def _address(cloud: Cloud) -> str:
    """Return an address of the loopback interface that no instance has."""
    taken = {each["Address"] for _, each in instances(cloud).items()}
    while True:
        address = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(256)}.{secrets.randbelow(254) + 1}"
        if address not in taken:
            return address
