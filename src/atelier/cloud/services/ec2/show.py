"""Instances as EC2 shows them."""

from __future__ import annotations

from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.ec2 import volumes
from atelier.cloud.services.ec2.service import SUBNET, VPC, groups, tags_of, zone
from atelier.cloud.services.wire import Document
from atelier.cloud.store import Record

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


def state(name: str) -> Document:
    """Return a state with its number."""
    return {"Code": CODES[name], "Name": name}


def reservation(cloud: Cloud, records: list[Record]) -> Document:
    """Return instances that were started together."""
    return {
        "ReservationId": records[0]["ReservationId"],
        "OwnerId": cloud.account,
        "Groups": [],
        "Instances": [instance(cloud, each) for each in records],
    }


def instance(cloud: Cloud, record: Record) -> Document:
    """Return one instance; its address is its own as long as it runs."""
    named = {id: (groups(cloud).get(id) or {}).get("GroupName", id) for id in record["Groups"]}
    return {
        "InstanceId": record["InstanceId"],
        "ImageId": record["ImageId"],
        "InstanceType": record["InstanceType"],
        "LaunchTime": record["LaunchTime"],
        "State": state(record["State"]),
        "ClientToken": record["ClientToken"],
        "Placement": {"AvailabilityZone": zone(cloud), "Tenancy": "default"},
        "RootDeviceName": volumes.ROOT,
        "RootDeviceType": "ebs",
        "SecurityGroups": [{"GroupId": id, "GroupName": name} for id, name in named.items()],
        "BlockDeviceMappings": [_mapping(each) for each in volumes.of_instance(cloud, record["InstanceId"])],
        "MetadataOptions": {"State": "applied", **record["Metadata"]},
        "Tags": tags_of(record),
        **_reason(record),
        **_place(record),
        **_profile(record),
        **({"InstanceLifecycle": "spot"} if record["Lifecycle"] == "spot" else {}),
    }


def _reason(record: Record) -> dict[str, Any]:
    if not record["Reason"]:
        return {}
    code, message = record["Reason"]
    return {"StateReason": {"Code": code, "Message": message}, "StateTransitionReason": message}


def _place(record: Record) -> dict[str, Any]:
    if record["State"] == "terminated":
        return {}
    place = {"PrivateIpAddress": record["Address"], "VpcId": VPC, "SubnetId": SUBNET}
    return (
        {**place, "PublicIpAddress": record["Address"]}
        if record["State"] in ("pending", "running")
        else place
    )


def _profile(record: Record) -> dict[str, Any]:
    profile = record["Profile"]
    return {"IamInstanceProfile": {"Arn": profile["Arn"], "Id": profile["Id"]}} if profile else {}


def _mapping(volume: Record) -> Document:
    ebs = {
        "VolumeId": volume["VolumeId"],
        "DeleteOnTermination": volume["DeleteOnTermination"],
        "Status": "attached",
        "AttachTime": volume["CreateTime"],
    }
    return {"DeviceName": volume["Device"], "Ebs": ebs}
