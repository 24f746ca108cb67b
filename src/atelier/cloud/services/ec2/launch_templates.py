"""Launch templates: what an instance is started with, by version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from botocore.model import StructureShape

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.ec2.service import (
    SERVICE,
    filtered,
    found,
    new_id,
    now,
    page,
    tags_of,
    templates,
    unsupported,
)
from atelier.cloud.services.ec2.tags import plain
from atelier.cloud.services.resources import Made, Request, ResourceType, from_cloudformation
from atelier.cloud.services.wire import Document, ServiceError, accept, everything
from atelier.cloud.store import Record

TYPE = "AWS::EC2::LaunchTemplate"
DATA = (
    *("ImageId", "InstanceType", "IamInstanceProfile", "SecurityGroupIds", "UserData", "TagSpecifications"),
    *("BlockDeviceMappings", "MetadataOptions", "InstanceInitiatedShutdownBehavior", "InstanceMarketOptions"),
)
"""What launch template data may hold here."""


@SERVICE.operation("DescribeLaunchTemplates", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List launch templates."""
    known = ("LaunchTemplateIds", "LaunchTemplateNames", "Filters", "MaxResults", "NextToken")
    unsupported(request, known, "DescribeLaunchTemplates")
    rows = found(
        templates(cloud), request.get("LaunchTemplateIds"), "InvalidLaunchTemplateId.NotFound", "template"
    )
    if names := request.get("LaunchTemplateNames"):
        rows = [one(cloud, {"LaunchTemplateName": each}) for each in names]
    shown, token = page(filtered(rows, request.get("Filters", ()), _values), request)
    return {"LaunchTemplates": [_shown(each) for each in shown], "NextToken": token}


@SERVICE.operation("DescribeLaunchTemplateVersions", on=everything)
def describe_versions(cloud: Cloud, request: Document) -> Document:
    """List the versions of one launch template."""
    known = ("LaunchTemplateId", "LaunchTemplateName", "Versions", "MaxResults", "NextToken")
    unsupported(request, known, "DescribeLaunchTemplateVersions")
    record = one(cloud, request)
    wanted = request.get("Versions") or [str(number + 1) for number in range(len(record["Versions"]))]
    rows = [_version(record, number(record, each)) for each in wanted]
    shown, token = page(rows, request)
    return {"LaunchTemplateVersions": shown, "NextToken": token}


def _values(record: Record, name: str) -> Iterable[str] | None:
    return [record["LaunchTemplateName"]] if name == "launch-template-name" else None


def _shown(record: Record) -> Document:
    return {
        "LaunchTemplateId": record["LaunchTemplateId"],
        "LaunchTemplateName": record["LaunchTemplateName"],
        "CreateTime": record["CreateTime"],
        "DefaultVersionNumber": 1,
        "LatestVersionNumber": len(record["Versions"]),
        "Tags": tags_of(record),
    }


def _version(record: Record, which: int) -> Document:
    version = record["Versions"][which - 1]
    return {
        "LaunchTemplateId": record["LaunchTemplateId"],
        "LaunchTemplateName": record["LaunchTemplateName"],
        "VersionNumber": which,
        "DefaultVersion": which == 1,
        "CreateTime": version["CreateTime"],
        "LaunchTemplateData": version["Data"],
    }


def one(cloud: Cloud, named: Mapping[str, Any]) -> Record:
    """Return the launch template that is named by id or name."""
    id, name = named.get("LaunchTemplateId"), named.get("LaunchTemplateName")
    for _, record in templates(cloud).items():
        if id == record["LaunchTemplateId"] or (id is None and name == record["LaunchTemplateName"]):
            return record
    code = "InvalidLaunchTemplateId.NotFound" if id else "InvalidLaunchTemplateName.NotFoundException"
    raise ServiceError(code, f"The specified launch template, {id or name}, does not exist")


def number(record: Record, version: str) -> int:
    """Return the number of a version: ``$Latest``, ``$Default`` or a number."""
    words = {"$Latest": len(record["Versions"]), "$Default": 1}
    which = words.get(version) or (int(version) if version.isdecimal() else 0)
    if not 1 <= which <= len(record["Versions"]):
        name = record["LaunchTemplateName"]
        raise ServiceError("InvalidLaunchTemplateId.VersionNotFound", f"{name} has no version {version}")
    return which


def data(cloud: Cloud, named: Mapping[str, Any]) -> tuple[Record, int, Document]:
    """Return a launch template, the version that is meant, and what that says."""
    record = one(cloud, named)
    which = number(record, named.get("Version", "$Default"))
    return record, which, record["Versions"][which - 1]["Data"]


def create(cloud: Cloud, request: Request) -> Made:
    """Make a launch template of one version."""
    given, id = request.properties, new_id("lt")
    name = given.get("LaunchTemplateName", request.name)
    if any(each["LaunchTemplateName"] == name for _, each in templates(cloud).items()):
        raise ServiceError("InvalidLaunchTemplateName.AlreadyExistsException", f"{name} is already in use")
    record = {
        "LaunchTemplateId": id,
        "LaunchTemplateName": name,
        "CreateTime": now(),
        "Versions": [_made(given)],
        "Tags": _tags(given),
    }
    templates(cloud).put(id, record)
    return _result(record)


def update(cloud: Cloud, ref: str, request: Request) -> Made:
    """Add a version; another name is another launch template."""
    with templates(cloud).lock:
        record = templates(cloud).get(ref)
        name = request.properties.get("LaunchTemplateName")
        if record is None or name not in (None, record["LaunchTemplateName"]):
            return create(cloud, request)
        record["Versions"].append(_made(request.properties))
        record["Tags"] = _tags(request.properties)
        templates(cloud).put(ref, record)
    return _result(record)


def delete(cloud: Cloud, ref: str, _properties: Mapping[str, Any]) -> None:
    """Forget a launch template; what was started from it stays."""
    templates(cloud).delete(ref)


def _made(given: Mapping[str, Any]) -> Record:
    shape = SERVICE.shapes.shape_for("RequestLaunchTemplateData")
    assert isinstance(shape, StructureShape)
    read = accept(
        from_cloudformation(given.get("LaunchTemplateData") or {}, shape, f"{TYPE}.LaunchTemplateData"), shape
    )
    if odd := sorted(read.keys() - set(DATA)):
        raise Refused(f"Unsupported: {TYPE}.LaunchTemplateData.{odd[0]} is not part of the local cloud")
    return {"CreateTime": now(), "Data": read}


def _tags(given: Mapping[str, Any]) -> dict[str, str]:
    kinds = given.get("TagSpecifications") or ()
    return plain(
        tag for each in kinds if each.get("ResourceType") == "launch-template" for tag in each.get("Tags", ())
    )


def _result(record: Record) -> Made:
    latest = str(len(record["Versions"]))
    return Made(
        ref=record["LaunchTemplateId"],
        attributes={
            "LaunchTemplateId": record["LaunchTemplateId"],
            "DefaultVersionNumber": "1",
            "LatestVersionNumber": latest,
        },
    )


RESOURCE = ResourceType(
    type=TYPE,
    properties=frozenset({"LaunchTemplateData", "LaunchTemplateName", "TagSpecifications"}),
    create=create,
    update=update,
    delete=delete,
)
