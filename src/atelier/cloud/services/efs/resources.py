"""EFS in templates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.efs.service import (
    SERVICE,
    access_points,
    file_system_arn,
    file_systems,
    mount_targets,
    plain_id,
)
from atelier.cloud.services.resources import Made, Request, ResourceType, from_cloudformation
from atelier.cloud.services.wire import Document, ServiceError

Properties = Mapping[str, Any]

FILE_SYSTEM = frozenset(
    {
        "Encrypted",
        "PerformanceMode",
        "ThroughputMode",
        "LifecyclePolicies",
        "BackupPolicy",
        "FileSystemPolicy",
    }
    | {"FileSystemTags"}
)
FIXED = ("Encrypted", "PerformanceMode")
"""What cannot change: a file system that shall have it otherwise is another one."""


def _call(cloud: Cloud, operation: str, **request: Any) -> Document:
    shape = SERVICE.shapes.operation_model(operation).input_shape
    assert shape is not None
    document = from_cloudformation(request, shape, operation)
    try:
        return SERVICE.call(cloud, operation, document)
    except ServiceError as error:
        raise Refused(f"{operation}: {error}") from error


def _make_file_system(cloud: Cloud, request: Request) -> Made:
    given = request.properties
    asked = {key: given[key] for key in (*FIXED, "ThroughputMode") if key in given}
    made = _call(cloud, "CreateFileSystem", CreationToken=_token(cloud, request.name), **asked)
    id = made["FileSystemId"]
    try:
        _choose(cloud, id, given)
    except Refused:  # CloudFormation knows no resource yet that it could take back
        _call(cloud, "DeleteFileSystem", FileSystemId=id)
        raise
    return _file_system(cloud, id)


def _token(cloud: Cloud, name: str) -> str:
    """Return a token of its own for a file system that replaces another of the same name."""
    taken = {each["CreationToken"] for _, each in file_systems(cloud).items()}
    return next(each for each in (name[:64], *(f"{name[:56]}-{n}" for n in range(9999))) if each not in taken)


def _file_system(cloud: Cloud, id: str) -> Made:
    return Made(ref=id, attributes={"FileSystemId": id, "Arn": file_system_arn(cloud, id)})


def _choose(cloud: Cloud, id: str, given: Properties) -> None:
    """Apply what may change, in place, to what is asked for now."""
    policy = given.get("FileSystemPolicy")
    if policy is not None:
        text = policy if isinstance(policy, str) else json.dumps(policy)
        _call(cloud, "PutFileSystemPolicy", FileSystemId=id, Policy=text)
    else:
        _call(cloud, "DeleteFileSystemPolicy", FileSystemId=id)
    lifecycle = given.get("LifecyclePolicies") or []
    _call(cloud, "PutLifecycleConfiguration", FileSystemId=id, LifecyclePolicies=lifecycle)
    backup = given.get("BackupPolicy") or {"Status": "DISABLED"}
    _call(cloud, "PutBackupPolicy", FileSystemId=id, BackupPolicy=backup)
    _retag(cloud, id, given.get("FileSystemTags") or [])


def _own(tags: list[Document]) -> list[Document]:
    """Leave out the tags that CloudFormation adds in AWS's own name, which nobody else may set."""
    return [each for each in tags if not str(each["Key"]).lower().startswith("aws:")]


def _retag(cloud: Cloud, id: str, given: list[Document]) -> None:
    tags = _own(given)
    had = {each["Key"] for each in _call(cloud, "ListTagsForResource", ResourceId=id)["Tags"]}
    if gone := sorted(had - {each["Key"] for each in tags}):
        _call(cloud, "UntagResource", ResourceId=id, TagKeys=gone)
    if tags:
        _call(cloud, "TagResource", ResourceId=id, Tags=tags)


def _change_file_system(cloud: Cloud, ref: str, request: Request) -> Made:
    record, given = file_systems(cloud).get(ref), request.properties
    wanted = {
        "Encrypted": str(given.get("Encrypted", False)).lower() == "true",
        "PerformanceMode": given.get("PerformanceMode", "generalPurpose"),
    }
    if record is None or any(record[key] != value for key, value in wanted.items()):
        return _make_file_system(cloud, request)
    _call(cloud, "UpdateFileSystem", FileSystemId=ref, ThroughputMode=given.get("ThroughputMode", "bursting"))
    _choose(cloud, ref, given)
    return _file_system(cloud, ref)


def _drop_file_system(cloud: Cloud, ref: str, _properties: Properties) -> None:
    if ref in file_systems(cloud):
        _call(cloud, "DeleteFileSystem", FileSystemId=ref)


def _make_access_point(cloud: Cloud, request: Request) -> Made:
    given = dict(request.properties)
    given["Tags"] = _own(given.pop("AccessPointTags", []))
    taken = {each["ClientToken"] for _, each in access_points(cloud).items()}
    names = (request.name[:64], *(f"{request.name[:56]}-{n}" for n in range(9999)))
    given.setdefault("ClientToken", next(each for each in names if each not in taken))
    made = _call(cloud, "CreateAccessPoint", **given)
    return _access_point(made["AccessPointId"], made["AccessPointArn"])


def _access_point(id: str, arn: str) -> Made:
    return Made(ref=id, attributes={"AccessPointId": id, "Arn": arn})


def _change_access_point(cloud: Cloud, ref: str, request: Request) -> Made:
    """Change the tags; another user, directory or file system is another access point."""
    record, shape = (
        access_points(cloud).get(ref),
        SERVICE.shapes.operation_model("CreateAccessPoint").input_shape,
    )
    assert shape is not None
    given = {key: value for key, value in request.properties.items() if key != "AccessPointTags"}
    asked = from_cloudformation(given, shape, request.logical_id)
    asked["RootDirectory"] = {"Path": "/", **asked.get("RootDirectory", {})}
    asked["FileSystemId"] = plain_id(str(asked.get("FileSystemId", "")))
    compared = ("FileSystemId", "PosixUser", "RootDirectory")
    if record is None or any(record.get(key) != asked.get(key) for key in compared):
        return _make_access_point(cloud, request)
    _retag(cloud, ref, request.properties.get("AccessPointTags") or [])
    described = _call(cloud, "DescribeAccessPoints", AccessPointId=ref)["AccessPoints"][0]
    return _access_point(ref, described["AccessPointArn"])


def _drop_access_point(cloud: Cloud, ref: str, _properties: Properties) -> None:
    if ref in access_points(cloud):
        _call(cloud, "DeleteAccessPoint", AccessPointId=ref)


def _make_mount_target(cloud: Cloud, request: Request) -> Made:
    made = _call(cloud, "CreateMountTarget", **request.properties)
    return _mount_target(made)


def _mount_target(made: Document) -> Made:
    id = made["MountTargetId"]
    return Made(ref=id, attributes={"Id": id, "IpAddress": made["IpAddress"]})


def _change_mount_target(cloud: Cloud, ref: str, request: Request) -> Made:
    """Change who is let in; another subnet or file system is another mount target."""
    record, given = mount_targets(cloud).get(ref), request.properties
    owner = plain_id(str(given.get("FileSystemId")))
    if record is None or (owner, given.get("SubnetId")) != (record["FileSystemId"], record["SubnetId"]):
        return _make_mount_target(cloud, request)
    members = given.get("SecurityGroups") or []
    _call(cloud, "ModifyMountTargetSecurityGroups", MountTargetId=ref, SecurityGroups=members)
    return _mount_target(record)


def _drop_mount_target(cloud: Cloud, ref: str, _properties: Properties) -> None:
    if ref in mount_targets(cloud):
        _call(cloud, "DeleteMountTarget", MountTargetId=ref)


def _type(
    name: str,
    properties: frozenset[str],
    create: Callable[[Cloud, Request], Made],
    update: Callable[[Cloud, str, Request], Made],
    delete: Callable[[Cloud, str, Properties], None],
) -> ResourceType:
    return ResourceType(
        type=f"AWS::EFS::{name}", properties=properties, create=create, update=update, delete=delete
    )


POINT = frozenset({"FileSystemId", "PosixUser", "RootDirectory", "AccessPointTags", "ClientToken"})
TARGET = frozenset({"FileSystemId", "SubnetId", "SecurityGroups", "IpAddress"})

RESOURCES = (
    _type("FileSystem", FILE_SYSTEM, _make_file_system, _change_file_system, _drop_file_system),
    _type("AccessPoint", POINT, _make_access_point, _change_access_point, _drop_access_point),
    _type("MountTarget", TARGET, _make_mount_target, _change_mount_target, _drop_mount_target),
)
