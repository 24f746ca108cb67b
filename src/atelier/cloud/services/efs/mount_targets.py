"""Mount targets: by which subnets of a VPC a file system can be reached, and who is let in there."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.ec2.service import groups
from atelier.cloud.services.ec2.vpcs import subnet
from atelier.cloud.services.efs.service import (
    SERVICE,
    access_point,
    file_system,
    mount_target,
    mount_targets,
    new_id,
    on_file_system,
    on_mount_target,
    only,
    page,
    targets_of,
)
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

RESERVED = 4
"""The first addresses of a subnet, which are AWS's own."""


@SERVICE.operation("CreateMountTarget", on=on_file_system)
def create(cloud: Cloud, request: Document) -> Document:
    """Make a file system reachable from a zone; a zone has one mount target of it at most."""
    only("CreateMountTarget", request, "FileSystemId", "SubnetId", "IpAddress", "SecurityGroups")
    owner, place = file_system(cloud, request["FileSystemId"]), _subnet(cloud, request["SubnetId"])
    members = _groups(cloud, request.get("SecurityGroups", ()), place["VpcId"])
    with mount_targets(cloud).lock:
        for each in targets_of(cloud, owner["FileSystemId"]):
            if each["VpcId"] != place["VpcId"]:
                message = f"requested subnet is of another VPC than {each['MountTargetId']}"
                raise ServiceError("MountTargetConflict", message, status=409)
            if each["AvailabilityZoneName"] == place["AvailabilityZone"]:
                message = f"mount target {each['MountTargetId']} already exists in this AZ"
                raise ServiceError("MountTargetConflict", message, status=409)
        record = {
            "MountTargetId": new_id("fsmt"),
            "FileSystemId": owner["FileSystemId"],
            "SubnetId": place["Id"],
            "VpcId": place["VpcId"],
            "AvailabilityZoneName": place["AvailabilityZone"],
            "IpAddress": _address(cloud, place, request.get("IpAddress")),
            "SecurityGroupIds": members,
        }
        mount_targets(cloud).put(record["MountTargetId"], record)
    return described(cloud, record)


def _subnet(cloud: Cloud, id: str) -> Record:
    try:
        return subnet(cloud, id)
    except ServiceError as error:
        raise ServiceError("SubnetNotFound", str(error)) from error


def _groups(cloud: Cloud, ids: Sequence[str], vpc: str) -> list[str]:
    for each in ids:
        if (groups(cloud).get(each) or {}).get("VpcId") != vpc:
            raise ServiceError("SecurityGroupNotFound", f"{vpc} has no security group {each}")
    return list(ids)


def _address(cloud: Cloud, place: Record, wanted: str | None) -> str:
    hosts = ipaddress.IPv4Network(place["CidrBlock"])
    taken = {each["IpAddress"] for _, each in mount_targets(cloud).items() if each["VpcId"] == place["VpcId"]}
    if wanted is not None:
        if ipaddress.IPv4Address(wanted) not in hosts:
            raise ServiceError("BadRequest", f"{wanted} is not an address of {place['Id']}")
        if wanted in taken:
            raise ServiceError("IpAddressInUse", f"{wanted} is in use", status=409)
        return wanted
    numbers = range(RESERVED, hosts.num_addresses - 1)
    free = next((str(hosts[each]) for each in numbers if str(hosts[each]) not in taken), None)
    if free is None:
        raise ServiceError("NoFreeAddressesInSubnet", f"{place['Id']} has no free address", status=409)
    return free


@SERVICE.operation("DescribeMountTargets", on=on_mount_target)
def describe(cloud: Cloud, request: Document) -> Document:
    """List the mount targets of a file system, or one."""
    named = [each for each in ("FileSystemId", "MountTargetId", "AccessPointId") if request.get(each)]
    if len(named) != 1:
        raise ServiceError("BadRequest", "exactly one of FileSystemId, MountTargetId and AccessPointId")
    if named == ["MountTargetId"]:
        rows = [mount_target(cloud, request["MountTargetId"])]
    elif named == ["AccessPointId"]:
        rows = targets_of(cloud, access_point(cloud, request["AccessPointId"])["FileSystemId"])
    else:
        rows = targets_of(cloud, file_system(cloud, request["FileSystemId"])["FileSystemId"])
    listed, marker = page(rows, request.get("Marker"), request.get("MaxItems"))
    return {"MountTargets": [described(cloud, each) for each in listed], "NextMarker": marker}


@SERVICE.operation("DeleteMountTarget", on=on_mount_target)
def delete(cloud: Cloud, request: Document) -> None:
    """Close a way to a file system."""
    mount_target(cloud, request["MountTargetId"])
    mount_targets(cloud).delete(request["MountTargetId"])


@SERVICE.operation("DescribeMountTargetSecurityGroups", on=on_mount_target)
def describe_groups(cloud: Cloud, request: Document) -> Document:
    """Return who is let in."""
    return {"SecurityGroups": mount_target(cloud, request["MountTargetId"])["SecurityGroupIds"]}


@SERVICE.operation("ModifyMountTargetSecurityGroups", on=on_mount_target)
def modify_groups(cloud: Cloud, request: Document) -> None:
    """Change who is let in."""
    record = mount_target(cloud, request["MountTargetId"])
    members: Any = _groups(cloud, request.get("SecurityGroups", ()), record["VpcId"])
    mount_targets(cloud).change(record["MountTargetId"], SecurityGroupIds=members)


def described(cloud: Cloud, record: Record) -> Document:
    """Return a mount target as EFS describes it."""
    shown = {key: value for key, value in record.items() if key != "SecurityGroupIds"}
    return {**shown, "OwnerId": cloud.account, "LifeCycleState": "available"}
