"""VPCs and their subnets: ranges of addresses that must fit into each other."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.ec2 import interfaces
from atelier.cloud.services.ec2.recorded import Kind, Properties, existing
from atelier.cloud.services.ec2.service import (
    SERVICE,
    SUBNET,
    TABLES,
    VPC,
    arn,
    filtered,
    found,
    groups,
    page,
    tags_of,
    unsupported,
    zone,
)
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

ZONES = ("a", "b", "c")
SIZES = range(16, 29)
RESERVED = 5
"""Addresses of a subnet that AWS keeps."""

DEFAULT = "127.0.0.0/8"


def _range(given: Any, where: str) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(str(given))
    except ValueError as error:
        raise ServiceError("InvalidParameterValue", f"Value ({given}) for {where} is invalid") from error
    if network.prefixlen not in SIZES:
        raise ServiceError(f"Invalid{where}.Range", f"The CIDR '{given}' is invalid: from /16 to /28")
    return network


def _check_vpc(_cloud: Cloud, given: Properties, _id: str) -> Record:
    return {"CidrBlock": str(_range(given["CidrBlock"], "Vpc"))}


def _check_subnet(cloud: Cloud, given: Properties, id: str) -> Record:
    vpc = existing(cloud, given["VpcId"], "InvalidVpcID.NotFound", "vpc")
    own = _range(given["CidrBlock"], "Subnet")
    if not own.subnet_of(ipaddress.IPv4Network(vpc["CidrBlock"])):
        raise ServiceError(
            "InvalidSubnet.Range", f"The CIDR '{own}' is invalid: not within {vpc['CidrBlock']}"
        )
    for other in subnets(cloud, vpc["Id"]):
        if other["Id"] != id and own.overlaps(ipaddress.IPv4Network(other["CidrBlock"])):
            raise ServiceError("InvalidSubnet.Conflict", f"The CIDR '{own}' conflicts with another subnet")
    place = given.get("AvailabilityZone", zone(cloud))
    if place not in [f"{cloud.region}{each}" for each in ZONES]:
        raise ServiceError("InvalidParameterValue", f"Value ({place}) for availabilityZone is invalid")
    return {"CidrBlock": str(own), "VpcId": vpc["Id"], "AvailabilityZone": place}


def subnets(cloud: Cloud, vpc: str) -> list[Record]:
    """Return the subnets of a VPC."""
    return [each for _, each in TABLES["subnet"](cloud).items() if each["VpcId"] == vpc]


def _of_vpc(cloud: Cloud, record: Record) -> Iterable[str]:
    yield from (each["Id"] for each in subnets(cloud, record["Id"]))
    yield from (id for id, each in groups(cloud).items() if each.get("VpcId") == record["Id"])
    for prefix in ("rtb", "igw", "vpce"):
        yield from (id for id, each in TABLES[prefix](cloud).items() if each.get("VpcId") == record["Id"])


def _of_subnet(cloud: Cloud, record: Record) -> Iterable[str]:
    return interfaces.in_subnet(cloud, record["Id"])


def network_of(cloud: Cloud, subnet_ids: Sequence[str], group_ids: Sequence[str] = ()) -> str:
    """Return the VPC of subnets and security groups; raise ServiceError unless all are there, in one VPC."""
    places = {subnet(cloud, each)["VpcId"] for each in subnet_ids}
    for each in group_ids:
        group = groups(cloud).get(each)
        if group is None:
            raise ServiceError("InvalidGroup.NotFound", f"The security group '{each}' does not exist")
        places.add(group.get("VpcId", VPC))
    if len(places) != 1:
        raise ServiceError("InvalidParameterValue", "the subnets and security groups are not of one VPC")
    return str(places.pop())


def subnet(cloud: Cloud, id: str) -> Record:
    """Return a subnet; raise ServiceError when there is none."""
    if id == SUBNET:
        return {"Id": SUBNET, "VpcId": VPC, "CidrBlock": DEFAULT, "AvailabilityZone": zone(cloud), "Tags": {}}
    return existing(cloud, id, "InvalidSubnetID.NotFound", "subnet")


@SERVICE.operation("DescribeVpcs", on=everything)
def describe_vpcs(cloud: Cloud, request: Document) -> Document:
    """List VPCs; the default one, which is this machine's loopback interface, comes first."""
    unsupported(request, ("VpcIds", "Filters", "MaxResults", "NextToken"), "DescribeVpcs")
    default = {"Id": VPC, "CidrBlock": DEFAULT, "Tags": {}}
    ids = request.get("VpcIds") or []
    rows = [] if ids and VPC not in ids else [default]
    others = [each for each in ids if each != VPC]
    if others or not ids:
        rows += found(TABLES["vpc"](cloud), others, "InvalidVpcID.NotFound", "vpc")
    shown, token = page(filtered(rows, request.get("Filters", ()), _values), request)
    return {"Vpcs": [_vpc(cloud, each) for each in shown], "NextToken": token}


@SERVICE.operation("DescribeSubnets", on=everything)
def describe_subnets(cloud: Cloud, request: Document) -> Document:
    """List subnets."""
    unsupported(request, ("SubnetIds", "Filters", "MaxResults", "NextToken"), "DescribeSubnets")
    ids = request.get("SubnetIds")
    every = [SUBNET, *(id for id, _ in TABLES["subnet"](cloud).items())]
    rows = [subnet(cloud, each) for each in ids or every]
    shown, token = page(filtered(rows, request.get("Filters", ()), _values), request)
    return {"Subnets": [_subnet(cloud, each) for each in shown], "NextToken": token}


def _values(record: Record, name: str) -> Iterable[str] | None:
    if name == "vpc-id":
        return [str(record.get("VpcId", record["Id"]))]
    if name == "subnet-id" and "VpcId" in record:
        return [record["Id"]]
    if name in ("is-default", "isDefault"):
        return [str(record["Id"] == VPC).lower()]
    members = {"availability-zone": "AvailabilityZone", "cidr-block": "CidrBlock", "cidr": "CidrBlock"}
    return [str(record[members[name]])] if name in members and members[name] in record else None


def _vpc(cloud: Cloud, record: Record) -> Document:
    return {
        "VpcId": record["Id"],
        "CidrBlock": record["CidrBlock"],
        "IsDefault": record["Id"] == VPC,
        "State": "available",
        "OwnerId": cloud.account,
        "InstanceTenancy": "default",
        "Tags": tags_of(record),
    }


def _subnet(cloud: Cloud, record: Record) -> Document:
    return {
        "SubnetId": record["Id"],
        "SubnetArn": arn(cloud, record["Id"]),
        "VpcId": record["VpcId"],
        "CidrBlock": record["CidrBlock"],
        "AvailabilityZone": record["AvailabilityZone"],
        "AvailableIpAddressCount": ipaddress.IPv4Network(record["CidrBlock"]).num_addresses - RESERVED,
        "MapPublicIpOnLaunch": str(record.get("Given", {}).get("MapPublicIpOnLaunch")).lower() == "true",
        "DefaultForAz": record["Id"] == SUBNET,
        "State": "available",
        "OwnerId": cloud.account,
        "Tags": tags_of(record),
    }


def _attributes(*names: str) -> Any:
    def attributes(record: Record) -> Mapping[str, Any]:
        return {name: record.get(name, record["Id"]) for name in names}

    return attributes


KINDS = (
    Kind(
        type="AWS::EC2::VPC",
        prefix="vpc",
        needed=("CidrBlock",),
        changeable=("EnableDnsHostnames", "EnableDnsSupport"),
        check=_check_vpc,
        attributes=_attributes("VpcId", "CidrBlock"),
        users=_of_vpc,
    ),
    Kind(
        type="AWS::EC2::Subnet",
        prefix="subnet",
        needed=("VpcId", "CidrBlock"),
        changeable=("MapPublicIpOnLaunch",),
        fixed=("AvailabilityZone",),
        check=_check_subnet,
        attributes=_attributes("SubnetId", "VpcId", "CidrBlock", "AvailabilityZone"),
        users=_of_subnet,
    ),
)
RESOURCES = tuple(each.resource() for each in KINDS)
