"""Rules of security groups, within a group or as resources of their own: for addresses, or another group."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.ec2.service import groups, new_id
from atelier.cloud.services.resources import Made, Request, ResourceType
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

INGRESS = "Ingress"
SIDES = {INGRESS: "SourceSecurityGroupId", "Egress": "DestinationSecurityGroupId"}
"""The sides of a group, and how a rule of each names the group on its other end."""

OWN = ("IpProtocol", "FromPort", "ToPort", "Description")


def rule(cloud: Cloud, given: Mapping[str, Any], side: str) -> Record:
    """Return a rule as it is kept; raise for one that AWS refuses, or that is not part of the local cloud."""
    other = SIDES[side]
    if odd := sorted(given.keys() - {*OWN, "CidrIp", other}):
        raise Refused(f"Unsupported: AWS::EC2::SecurityGroup rules' {odd[0]} is not part of the local cloud")
    kept = {key: given[key] for key in OWN if key in given}
    if ("CidrIp" in given) == (other in given):
        raise ServiceError("InvalidParameterValue", f"a rule names either CidrIp or {other}")
    if other in given:
        return {**kept, "GroupId": _known(cloud, str(given[other]))}
    try:
        return {**kept, "CidrIp": str(ipaddress.ip_network(str(given["CidrIp"])))}
    except ValueError as error:
        raise ServiceError("InvalidParameterValue", f"CIDR block {given['CidrIp']} is malformed") from error


def _known(cloud: Cloud, id: str) -> str:
    if id not in groups(cloud):
        raise ServiceError("InvalidGroup.NotFound", f"The security group '{id}' does not exist")
    return id


def shown(cloud: Cloud, kept: Mapping[str, Any]) -> Document:
    """Return a rule as DescribeSecurityGroups shows it."""
    ports = {name: int(kept[name]) for name in ("FromPort", "ToPort") if name in kept}
    said = {"Description": kept["Description"]} if kept.get("Description") else {}
    permission: Document = {"IpProtocol": str(kept["IpProtocol"]), **ports}
    if "GroupId" in kept:
        pairs = [{"GroupId": kept["GroupId"], "UserId": cloud.account, **said}]
        return {**permission, "IpRanges": [], "UserIdGroupPairs": pairs}
    return {**permission, "IpRanges": [{"CidrIp": kept["CidrIp"], **said}]}


def _resource(side: str) -> ResourceType:
    def create(cloud: Cloud, request: Request) -> Made:
        given, id = dict(request.properties), new_id("sgr")
        own = _known(cloud, str(given.pop("GroupId", "")))
        added = {"Side": side, "Rule": rule(cloud, given, side)}
        table = groups(cloud)
        with table.lock:
            group = table.get(own) or {}
            if any(added == each for each in group.get("Added", {}).values()):
                raise ServiceError("InvalidPermission.Duplicate", f"the specified rule is in {own} already")
            table.put(own, {**group, "Added": {**group.get("Added", {}), id: added}})
        return Made(ref=id, attributes={"Id": id})

    def update(cloud: Cloud, ref: str, request: Request) -> Made:
        delete(cloud, ref, request.properties)
        return create(cloud, request)

    def delete(cloud: Cloud, ref: str, _properties: Mapping[str, Any]) -> None:
        table = groups(cloud)
        with table.lock:
            for id, group in table.items():
                if group.get("Added", {}).pop(ref, None):
                    table.put(id, group)

    return ResourceType(
        type=f"AWS::EC2::SecurityGroup{side}",
        properties=frozenset({*OWN, "CidrIp", "GroupId", SIDES[side]}),
        create=create,
        update=update,
        delete=delete,
    )


RESOURCES = tuple(_resource(side) for side in SIDES)
