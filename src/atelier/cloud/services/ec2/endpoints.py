"""Endpoints of AWS services within a VPC, and logs of its traffic: here nothing passes through either."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.ec2.recorded import Kind, Properties, existing
from atelier.cloud.services.ec2.service import SERVICE, TABLES, filtered, found, page, tags_of, unsupported
from atelier.cloud.services.ec2.vpcs import network_of
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

GATEWAYS = ("s3", "dynamodb")


def _check(cloud: Cloud, given: Properties, id: str) -> Record:
    vpc = existing(cloud, given["VpcId"], "InvalidVpcId.NotFound", "vpc")["Id"]
    kind, service = given.get("VpcEndpointType", "Gateway"), str(given["ServiceName"])
    known = service.startswith(f"com.amazonaws.{cloud.region}.")
    if not known or kind not in ("Gateway", "Interface"):
        raise ServiceError("InvalidServiceName", f"The Vpc Endpoint Service '{service}' does not exist")
    policy = _policy(given.get("PolicyDocument"))
    if kind == "Gateway":
        places: Record = {"RouteTableIds": _routes(cloud, given, vpc, service)}
    else:
        subnets, groups = given.get("SubnetIds") or [], given.get("SecurityGroupIds") or []
        if network_of(cloud, subnets, groups) != vpc:
            raise ServiceError("InvalidParameter", f"the subnets and security groups are not of {vpc}")
        places = {"SubnetIds": subnets, "SecurityGroupIds": groups}
        _is_the_only_one(cloud, given, id)
    return {"VpcId": vpc, "Type": kind, "ServiceName": service, "Policy": policy, **places}


def _routes(cloud: Cloud, given: Properties, vpc: str, service: str) -> list[str]:
    if service.rpartition(".")[2] not in GATEWAYS:
        raise ServiceError("InvalidParameter", f"Endpoint type (Gateway) does not match service {service}")
    for each in given.get("RouteTableIds") or ():
        if existing(cloud, each, "InvalidRouteTableId.NotFound", "routeTable")["VpcId"] != vpc:
            raise ServiceError("InvalidParameter", f"{each} is not of {vpc}")
    return list(given.get("RouteTableIds") or ())


def _is_the_only_one(cloud: Cloud, given: Properties, id: str) -> None:
    """Refuse a second private name for a service: one of the two would lead nowhere."""
    for other, each in TABLES["vpce"](cloud).items():
        same = (each["VpcId"], each["ServiceName"]) == (given["VpcId"], given["ServiceName"])
        if other != id and same and _is_private(each["Given"]) and _is_private(given):
            raise ServiceError("InvalidParameter", f"private-dns-enabled cannot be set: {other} has the name")


def _is_private(given: Properties) -> bool:
    return str(given.get("PrivateDnsEnabled", False)).lower() == "true"


def _policy(given: Any) -> str:
    if given is None:
        return ""
    try:
        document = json.loads(given) if isinstance(given, str) else given
    except ValueError as error:
        raise ServiceError("InvalidPolicyDocument", f"The policy is not JSON: {error}") from error
    if not isinstance(document, dict) or not document.get("Statement"):
        raise ServiceError("InvalidPolicyDocument", "The policy has no Statement")
    return json.dumps(document)


def _check_log(cloud: Cloud, given: Properties, _id: str) -> Record:
    if given["ResourceType"] != "VPC" or given["TrafficType"] not in ("ACCEPT", "REJECT", "ALL"):
        raise Refused("Unsupported: AWS::EC2::FlowLog logs a VPC's ACCEPT, REJECT or ALL in the local cloud")
    existing(cloud, given["ResourceId"], "InvalidVpcID.NotFound", "vpc")
    return {}


KINDS = (
    Kind(
        type="AWS::EC2::VPCEndpoint",
        prefix="vpce",
        needed=("VpcId", "ServiceName"),
        fixed=("VpcEndpointType",),
        changeable=("PolicyDocument", "PrivateDnsEnabled", "RouteTableIds", "SecurityGroupIds", "SubnetIds"),
        check=_check,
        attributes=lambda record: {"Id": record["Id"]},
    ),
    Kind(
        type="AWS::EC2::FlowLog",
        prefix="fl",
        needed=("ResourceId", "ResourceType", "TrafficType", "LogGroupName", "DeliverLogsPermissionArn"),
        check=_check_log,
        attributes=lambda record: {"Id": record["Id"]},
    ),
)
RESOURCES = tuple(each.resource() for each in KINDS)


@SERVICE.operation("DescribeVpcEndpoints", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List endpoints."""
    unsupported(request, ("VpcEndpointIds", "Filters", "MaxResults", "NextToken"), "DescribeVpcEndpoints")
    rows = found(
        TABLES["vpce"](cloud), request.get("VpcEndpointIds"), "InvalidVpcEndpointId.NotFound", "VPC endpoint"
    )
    shown, token = page(filtered(rows, request.get("Filters", ()), _values), request)
    return {"VpcEndpoints": [_shown(cloud, each) for each in shown], "NextToken": token}


def _values(record: Record, name: str) -> Iterable[str] | None:
    members = {
        "vpc-id": "VpcId",
        "service-name": "ServiceName",
        "vpc-endpoint-id": "Id",
        "vpc-endpoint-type": "Type",
    }
    return [record[members[name]]] if name in members else None


def _shown(cloud: Cloud, record: Record) -> Document:
    return {
        "VpcEndpointId": record["Id"],
        "VpcEndpointType": record["Type"],
        "VpcId": record["VpcId"],
        "ServiceName": record["ServiceName"],
        "State": "available",
        "PolicyDocument": record["Policy"] or None,
        "RouteTableIds": record.get("RouteTableIds", []),
        "SubnetIds": record.get("SubnetIds", []),
        "Groups": [{"GroupId": each} for each in record.get("SecurityGroupIds", [])],
        "PrivateDnsEnabled": _is_private(record["Given"]),
        "OwnerId": cloud.account,
        "Tags": tags_of(record),
    }
