"""Security groups: who may reach an instance; here all of them are on the loopback interface."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.ec2.service import (
    SERVICE,
    VPC,
    arn,
    filtered,
    found,
    groups,
    instances,
    new_id,
    page,
    tags_of,
    unsupported,
)
from atelier.cloud.services.ec2.tags import plain
from atelier.cloud.services.resources import Made, Request, ResourceType
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

RULE = {"IpProtocol", "FromPort", "ToPort", "CidrIp", "Description"}
TYPE = "AWS::EC2::SecurityGroup"


@SERVICE.operation("DescribeSecurityGroups", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List groups."""
    unsupported(request, ("GroupIds", "Filters", "MaxResults", "NextToken"), "DescribeSecurityGroups")
    rows = found(groups(cloud), request.get("GroupIds"), "InvalidGroup.NotFound", "security group")
    shown, token = page(filtered(rows, request.get("Filters", ()), _values), request)
    return {"SecurityGroups": [_shown(cloud, each) for each in shown], "NextToken": token}


def _values(record: Record, name: str) -> Iterable[str] | None:
    members = {"group-id": "GroupId", "group-name": "GroupName"}
    return [record[members[name]]] if name in members else None


def _shown(cloud: Cloud, record: Record) -> Document:
    return {
        "GroupId": record["GroupId"],
        "GroupName": record["GroupName"],
        "Description": record["Description"],
        "OwnerId": cloud.account,
        "VpcId": VPC,
        "SecurityGroupArn": arn(cloud, record["GroupId"]),
        "IpPermissions": [_permission(each) for each in record["Ingress"]],
        "IpPermissionsEgress": [_permission(each) for each in record["Egress"]],
        "Tags": tags_of(record),
    }


def _permission(rule: Mapping[str, Any]) -> Document:
    within = {"CidrIp": rule["CidrIp"], "Description": rule.get("Description")}
    ports = {name: int(rule[name]) for name in ("FromPort", "ToPort") if name in rule}
    ranges = [{key: value for key, value in within.items() if value is not None}]
    return {"IpProtocol": str(rule["IpProtocol"]), **ports, "IpRanges": ranges}


def create(cloud: Cloud, request: Request) -> Made:
    """Make a group."""
    given, id = request.properties, new_id("sg")
    record = {"GroupId": id, "GroupName": given.get("GroupName", request.name), **_described(given)}
    if any(each["GroupName"] == record["GroupName"] for _, each in groups(cloud).items()):
        raise ServiceError("InvalidGroup.Duplicate", f"The group '{record['GroupName']}' exists already")
    groups(cloud).put(id, record)
    return Made(ref=id, attributes={"GroupId": id, "VpcId": VPC})


def update(cloud: Cloud, ref: str, request: Request) -> Made:
    """Change a group's rules and tags; another name or description is another group."""
    record, described = groups(cloud).get(ref) or {}, _described(request.properties)
    name = request.properties.get("GroupName", record.get("GroupName"))
    if (name, described["Description"]) != (record.get("GroupName"), record.get("Description")):
        return create(cloud, request)
    groups(cloud).put(ref, {**record, **described})
    return Made(ref=ref, attributes={"GroupId": ref, "VpcId": VPC})


def delete(cloud: Cloud, ref: str, _properties: Mapping[str, Any]) -> None:
    """Forget a group that no instance is in."""
    users = [
        id for id, each in instances(cloud).items() if ref in each["Groups"] and each["State"] != "terminated"
    ]
    if users:
        raise ServiceError("DependencyViolation", f"resource {ref} has a dependent object: {users[0]}")
    groups(cloud).delete(ref)


def _described(given: Mapping[str, Any]) -> Record:
    if not given.get("GroupDescription"):
        raise Refused(f"{TYPE} needs GroupDescription")
    if given.get("VpcId") not in (None, "", VPC):
        raise ServiceError("InvalidVpcID.NotFound", f"The vpc ID '{given['VpcId']}' does not exist")
    everywhere = [{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}]
    return {
        "Description": given["GroupDescription"],
        "Ingress": [_rule(each) for each in given.get("SecurityGroupIngress") or ()],
        "Egress": [_rule(each) for each in given.get("SecurityGroupEgress") or everywhere],
        "Tags": plain(given.get("Tags") or ()),
    }


def _rule(rule: Mapping[str, Any]) -> Record:
    if odd := sorted(rule.keys() - RULE):
        raise Refused(f"Unsupported: {TYPE} rules' {odd[0]} is not part of the local cloud")
    try:
        ipaddress.ip_network(str(rule.get("CidrIp")))
    except ValueError as error:
        raise ServiceError(
            "InvalidParameterValue", f"CIDR block {rule.get('CidrIp')} is malformed"
        ) from error
    return dict(rule)


RESOURCE = ResourceType(
    type=TYPE,
    properties=frozenset(
        {"GroupDescription", "GroupName", "SecurityGroupEgress", "SecurityGroupIngress", "Tags", "VpcId"}
    ),
    create=create,
    update=update,
    delete=delete,
)
