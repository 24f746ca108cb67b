"""A training job within a VPC, and channels that are directories of a file system there."""

from __future__ import annotations

from collections.abc import Iterator

from atelier.cloud.context import Caller, Cloud, Mount, Refused
from atelier.cloud.services.ec2.vpcs import network_of
from atelier.cloud.services.efs import volumes
from atelier.cloud.services.sagemaker.service import exactly, invalid, only
from atelier.cloud.services.sagemaker.storage import StorageError
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

ON_INTERFACES = (
    "CreateNetworkInterface",
    "CreateNetworkInterfacePermission",
    "DeleteNetworkInterface",
    "DeleteNetworkInterfacePermission",
)
EVERYWHERE = (
    "DescribeNetworkInterfaces",
    "DescribeVpcs",
    "DescribeDhcpOptions",
    "DescribeSubnets",
    "DescribeSecurityGroups",
)
"""What SageMaker does to a VPC as a job's role, before the job is in it."""


def check(cloud: Cloud, request: Document) -> None:
    """Refuse a VPC that is not one, or that the job's role may not enter."""
    given = request.get("VpcConfig")
    for channel in request.get("InputDataConfig", []):
        if source(channel) and not given:
            raise invalid(
                f"InputDataConfig.{channel['ChannelName']}: a FileSystemDataSource needs a VpcConfig, whose"
                " subnets and security groups reach the file system"
            )
    if not given:
        return
    try:
        network_of(cloud, given["Subnets"], given["SecurityGroupIds"])
    except ServiceError as error:
        raise invalid(f"VpcConfig: {error}") from error
    _check_role(cloud, request["RoleArn"], request["TrainingJobName"], given)


def _check_role(cloud: Cloud, role: str, session: str, given: Document) -> None:
    account, name = role.split(":")[4], role.rpartition("/")[2]
    caller = Caller(f"arn:aws:sts::{account}:assumed-role/{name}/{session}", role)
    for action, resource in _needed(cloud, given):
        if not cloud.identity.allows(caller, f"ec2:{action}", resource):
            raise invalid(
                f"Access denied when calling EC2's {action} as {role} on {resource}: a job in a VPC needs it"
            )


def _needed(cloud: Cloud, given: Document) -> Iterator[tuple[str, str]]:
    interface = cloud.arn("ec2", "network-interface/*")
    yield from ((each, interface) for each in ON_INTERFACES)
    yield from (("CreateNetworkInterface", cloud.arn("ec2", f"subnet/{each}")) for each in given["Subnets"])
    for each in given["SecurityGroupIds"]:
        yield "CreateNetworkInterface", cloud.arn("ec2", f"security-group/{each}")
    yield from ((each, "*") for each in EVERYWHERE)


def source(channel: Document) -> Document | None:
    """Return the directory that is a channel's data, if it is one."""
    found: Document | None = channel["DataSource"].get("FileSystemDataSource")
    return found


def check_source(where: str, given: Document) -> None:
    """Refuse a file system of another kind, and a path that no directory has."""
    only(where, given, "FileSystemId", "FileSystemType", "FileSystemAccessMode", "DirectoryPath")
    exactly(f"{where}.FileSystemType", given["FileSystemType"], "EFS")
    path = given["DirectoryPath"]
    if not path.startswith("/") or ".." in path.split("/"):
        raise invalid(f"{where}.DirectoryPath: {path!r} is no full path of a directory")


def mounts(cloud: Cloud, record: Record) -> tuple[Mount, ...]:
    """Return the channels that are directories; raise StorageError for one that cannot be mounted.

    SageMaker mounts the bare file system: without TLS, an access point or a role.
    """
    return tuple(
        _mount(cloud, record, channel["ChannelName"], given)
        for channel in record.get("InputDataConfig", [])
        if (given := source(channel))
    )


def _mount(cloud: Cloud, record: Record, name: str, given: Document) -> Mount:
    id, is_read_only = given["FileSystemId"], given["FileSystemAccessMode"] == "ro"
    network = record["VpcConfig"]
    try:
        volumes.reachable(cloud, id, network["Subnets"], network["SecurityGroupIds"])
        place = volumes.directory(cloud, id, path=given["DirectoryPath"], is_read_only=is_read_only)
    except Refused as refused:
        raise StorageError(f"unable to mount {id} for the channel {name}: {refused}") from refused
    return Mount(source=place, target=f"/opt/ml/input/data/{name}", is_read_only=is_read_only)
