"""Security groups: who may reach what; all of it is on the loopback interface here, and nothing is held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.ec2 import interfaces
from atelier.cloud.services.ec2.recorded import existing
from atelier.cloud.services.ec2.rules import INGRESS, SIDES, rule, shown
from atelier.cloud.services.ec2.service import (
    SERVICE,
    VPC,
    arn,
    filtered,
    found,
    groups,
    new_id,
    page,
    tags_of,
    unsupported,
)
from atelier.cloud.services.ec2.tags import plain
from atelier.cloud.services.resources import Made, Request, ResourceType
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

TYPE = "AWS::EC2::SecurityGroup"


@SERVICE.operation("DescribeSecurityGroups", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List groups."""
    unsupported(request, ("GroupIds", "Filters", "MaxResults", "NextToken"), "DescribeSecurityGroups")
    rows = found(groups(cloud), request.get("GroupIds"), "InvalidGroup.NotFound", "security group")
    listed, token = page(filtered(rows, request.get("Filters", ()), _values), request)
    return {"SecurityGroups": [_shown(cloud, each) for each in listed], "NextToken": token}


def _values(record: Record, name: str) -> Iterable[str] | None:
    if name == "vpc-id":
        return [record.get("VpcId", VPC)]
    members = {"group-id": "GroupId", "group-name": "GroupName"}
    return [record[members[name]]] if name in members else None


def _shown(cloud: Cloud, record: Record) -> Document:
    added = record.get("Added", {}).values()
    rules = {
        side: [*record[side], *(each["Rule"] for each in added if each["Side"] == side)] for side in SIDES
    }
    return {
        "GroupId": record["GroupId"],
        "GroupName": record["GroupName"],
        "Description": record["Description"],
        "OwnerId": cloud.account,
        "VpcId": record.get("VpcId", VPC),
        "SecurityGroupArn": arn(cloud, record["GroupId"]),
        "IpPermissions": [shown(cloud, each) for each in rules["Ingress"]],
        "IpPermissionsEgress": [shown(cloud, each) for each in rules["Egress"]],
        "Tags": tags_of(record),
    }


def create(cloud: Cloud, request: Request) -> Made:
    """Make a group."""
    given, id = request.properties, new_id("sg")
    record = {"GroupId": id, "GroupName": given.get("GroupName", request.name), **_described(cloud, given)}
    with groups(cloud).lock:
        if any(_place(each) == _place(record) for _, each in groups(cloud).items()):
            raise ServiceError("InvalidGroup.Duplicate", f"The group '{record['GroupName']}' exists already")
        groups(cloud).put(id, record)
    return _made(record)


def update(cloud: Cloud, ref: str, request: Request) -> Made:
    """Change a group's rules and tags; another name, VPC or description is another group."""
    record, described = groups(cloud).get(ref) or {}, _described(cloud, request.properties)
    name = request.properties.get("GroupName", record.get("GroupName"))
    wanted = {**described, "GroupName": name}
    if not record or any(wanted[each] != record.get(each) for each in ("GroupName", "Description")):
        return create(cloud, request)
    if described["VpcId"] != record.get("VpcId", VPC):
        return create(cloud, request)
    return _made(groups(cloud).change(ref, **described))


def _place(record: Record) -> tuple[str, str]:
    return record["GroupName"], record.get("VpcId", VPC)


def _made(record: Record) -> Made:
    return Made(
        ref=record["GroupId"], attributes={"GroupId": record["GroupId"], "VpcId": record.get("VpcId", VPC)}
    )


def delete(cloud: Cloud, ref: str, _properties: Mapping[str, Any]) -> None:
    """Forget a group that nothing is in, and that no other group's rule names."""
    if user := next(_users(cloud, ref), None):
        raise ServiceError("DependencyViolation", f"resource {ref} has a dependent object: {user}")
    groups(cloud).delete(ref)


def _users(cloud: Cloud, ref: str) -> Iterator[str]:
    yield from interfaces.in_group(cloud, ref)
    for id, each in groups(cloud).items():
        added = (one["Rule"] for one in each.get("Added", {}).values())
        if id != ref and any(
            one.get("GroupId") == ref for one in (*each["Ingress"], *each["Egress"], *added)
        ):
            yield id


def _described(cloud: Cloud, given: Mapping[str, Any]) -> Record:
    if not given.get("GroupDescription"):
        raise Refused(f"{TYPE} needs GroupDescription")
    vpc = given.get("VpcId") or VPC
    if vpc != VPC:
        existing(cloud, vpc, "InvalidVpcID.NotFound", "vpc")
    everywhere = [{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}]
    return {
        "Description": given["GroupDescription"],
        "VpcId": vpc,
        "Ingress": [rule(cloud, each, INGRESS) for each in given.get("SecurityGroupIngress") or ()],
        "Egress": [rule(cloud, each, "Egress") for each in given.get("SecurityGroupEgress") or everywhere],
        "Tags": plain(given.get("Tags") or ()),
    }


RESOURCE = ResourceType(
    type=TYPE,
    properties=frozenset(
        {"GroupDescription", "GroupName", "SecurityGroupEgress", "SecurityGroupIngress", "Tags", "VpcId"}
    ),
    create=create,
    update=update,
    delete=delete,
)
