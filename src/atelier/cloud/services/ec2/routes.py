"""Ways out of a VPC: internet gateways, route tables, and gateways that let out and nobody in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.ec2.recorded import Kind, Properties, existing
from atelier.cloud.services.ec2.service import (
    SERVICE,
    TABLES,
    filtered,
    found,
    new_id,
    page,
    tags_of,
    unsupported,
)
from atelier.cloud.services.resources import Made, Request, ResourceType
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

PUBLIC = "203.0.113"
"""A range that nobody has: addresses of gateways are for documents, nothing here goes out by them."""


def _nothing(_cloud: Cloud, _given: Properties, _id: str) -> Record:
    return {}


def _check_table(cloud: Cloud, given: Properties, id: str) -> Record:
    vpc = existing(cloud, given["VpcId"], "InvalidVpcID.NotFound", "vpc")
    old = TABLES["rtb"](cloud).get(id) or {"Routes": {}, "Associations": {}}
    return {"VpcId": vpc["Id"], "Routes": old["Routes"], "Associations": old["Associations"]}


def _of_table(cloud: Cloud, record: Record) -> Iterable[str]:
    yield from record["Associations"]
    for id, each in TABLES["vpce"](cloud).items():
        if record["Id"] in each.get("RouteTableIds", ()):
            yield id


def _check_address(cloud: Cloud, given: Properties, id: str) -> Record:
    if given.get("Domain", "vpc") != "vpc":
        raise Refused("Unsupported: AWS::EC2::EIP.Domain is vpc in the local cloud")
    taken = {each["PublicIp"] for key, each in TABLES["eipalloc"](cloud).items() if key != id}
    old = TABLES["eipalloc"](cloud).get(id)
    free = (f"{PUBLIC}.{each}" for each in range(1, 255))
    address = old["PublicIp"] if old else next((each for each in free if each not in taken), None)
    if address is None:
        raise ServiceError("AddressLimitExceeded", "The maximum number of addresses has been reached.")
    return {"PublicIp": address}


def _check_nat(cloud: Cloud, given: Properties, id: str) -> Record:
    subnet = existing(cloud, given["SubnetId"], "InvalidSubnetID.NotFound", "subnet")
    address = existing(cloud, given["AllocationId"], "InvalidAllocationID.NotFound", "allocation")
    for other, each in TABLES["nat"](cloud).items():
        if other != id and each["AllocationId"] == address["Id"]:
            raise ServiceError("Resource.AlreadyAssociated", f"{address['Id']} is that of {other} already")
    if not _reaches_internet(cloud, subnet):
        raise ServiceError(
            "Gateway.NotAttached", f"Network {subnet['VpcId']} has no Internet gateway attached"
        )
    return {"SubnetIds": [subnet["Id"]], "AllocationId": address["Id"], "VpcId": subnet["VpcId"]}


def _reaches_internet(cloud: Cloud, subnet: Record) -> bool:
    return any(each.get("VpcId") == subnet["VpcId"] for _, each in TABLES["igw"](cloud).items())


def _of_address(cloud: Cloud, record: Record) -> Iterable[str]:
    return (id for id, each in TABLES["nat"](cloud).items() if each["AllocationId"] == record["Id"])


def _of_gateway(cloud: Cloud, record: Record) -> Iterable[str]:
    if "VpcId" in record:
        yield str(record["VpcId"])
    yield from _routed(cloud, record)


def _routed(cloud: Cloud, record: Record) -> Iterable[str]:
    for id, table in TABLES["rtb"](cloud).items():
        if record["Id"] in table["Routes"].values():
            yield id


KINDS = (
    Kind(
        type="AWS::EC2::InternetGateway",
        prefix="igw",
        check=_nothing,
        attributes=lambda record: {"InternetGatewayId": record["Id"]},
        users=_of_gateway,
    ),
    Kind(
        type="AWS::EC2::RouteTable",
        prefix="rtb",
        needed=("VpcId",),
        check=_check_table,
        attributes=lambda record: {"RouteTableId": record["Id"]},
        users=_of_table,
    ),
    Kind(
        type="AWS::EC2::EIP",
        prefix="eipalloc",
        fixed=("Domain",),
        check=_check_address,
        attributes=lambda record: {"AllocationId": record["Id"], "PublicIp": record["PublicIp"]},
        users=_of_address,
        ref=lambda record: str(record["PublicIp"]),
    ),
    Kind(
        type="AWS::EC2::NatGateway",
        prefix="nat",
        needed=("SubnetId", "AllocationId"),
        check=_check_nat,
        attributes=lambda record: {"NatGatewayId": record["Id"]},
        users=_routed,
    ),
)


def _attach(cloud: Cloud, request: Request) -> Made:
    given, table = request.properties, TABLES["igw"](cloud)
    vpc = existing(cloud, given.get("VpcId"), "InvalidVpcID.NotFound", "vpc")["Id"]
    with table.lock:
        gateway = existing(
            cloud, given.get("InternetGatewayId"), "InvalidInternetGatewayID.NotFound", "gateway"
        )
        if "VpcId" in gateway or any(each.get("VpcId") == vpc for _, each in table.items()):
            raise ServiceError("Resource.AlreadyAssociated", f"{gateway['Id']} or {vpc} is attached already")
        table.put(gateway["Id"], {**gateway, "VpcId": vpc})
    return Made(ref=f"IGW|{vpc}", attributes={"AttachmentType": "IGW"})


def _detach(cloud: Cloud, _ref: str, properties: Mapping[str, Any]) -> None:
    table = TABLES["igw"](cloud)
    with table.lock:
        if gateway := table.get(str(properties.get("InternetGatewayId"))):
            gateway.pop("VpcId", None)
            table.put(gateway["Id"], gateway)


def _change_attachment(cloud: Cloud, ref: str, request: Request) -> Made:
    gateway = TABLES["igw"](cloud).get(str(request.properties.get("InternetGatewayId"))) or {}
    if ref == f"IGW|{gateway.get('VpcId')}" == f"IGW|{request.properties.get('VpcId')}":
        return Made(ref=ref, attributes={"AttachmentType": "IGW"})
    return _attach(cloud, request)


def _target(cloud: Cloud, given: Properties) -> str:
    for name, error in (
        ("GatewayId", "InvalidGatewayID.NotFound"),
        ("NatGatewayId", "NatGatewayNotFound"),
    ):
        if given.get(name):
            return str(existing(cloud, given[name], error, "gateway")["Id"])
    raise Refused("AWS::EC2::Route needs GatewayId or NatGatewayId")


def _route(cloud: Cloud, request: Request) -> Made:
    given, tables = request.properties, TABLES["rtb"](cloud)
    destination, target = str(given.get("DestinationCidrBlock")), _target(cloud, given)
    with tables.lock:
        table = existing(cloud, given.get("RouteTableId"), "InvalidRouteTableID.NotFound", "routeTable")
        if destination in table["Routes"]:
            raise ServiceError("RouteAlreadyExists", f"The route identified by {destination} already exists.")
        table["Routes"][destination] = target
        tables.put(table["Id"], table)
    return Made(ref=f"{table['Id']}|{destination}", attributes={"CidrBlock": destination})


def _reroute(cloud: Cloud, ref: str, request: Request) -> Made:
    given, tables = request.properties, TABLES["rtb"](cloud)
    if ref != f"{given.get('RouteTableId')}|{given.get('DestinationCidrBlock')}":
        return _route(cloud, request)
    id, _, destination = ref.partition("|")
    with tables.lock:
        table = existing(cloud, id, "InvalidRouteTableID.NotFound", "routeTable")
        table["Routes"][destination] = _target(cloud, given)
        tables.put(id, table)
    return Made(ref=ref, attributes={"CidrBlock": destination})


def _unroute(cloud: Cloud, ref: str, _properties: Mapping[str, Any]) -> None:
    id, _, destination = ref.partition("|")
    _drop(cloud, id, "Routes", destination)


def _associate(cloud: Cloud, request: Request) -> Made:
    given, tables = request.properties, TABLES["rtb"](cloud)
    subnet = existing(cloud, given.get("SubnetId"), "InvalidSubnetID.NotFound", "subnet")
    with tables.lock:
        table = existing(cloud, given.get("RouteTableId"), "InvalidRouteTableID.NotFound", "routeTable")
        if table["VpcId"] != subnet["VpcId"]:
            raise ServiceError(
                "InvalidParameterValue", f"{table['Id']} and {subnet['Id']} are not of one VPC"
            )
        if any(subnet["Id"] in each["Associations"].values() for _, each in tables.items()):
            raise ServiceError("Resource.AlreadyAssociated", f"{subnet['Id']} has a route table already")
        id = new_id("rtbassoc")
        table["Associations"][id] = subnet["Id"]
        tables.put(table["Id"], table)
    return Made(ref=id, attributes={"Id": id})


def _reassociate(cloud: Cloud, ref: str, request: Request) -> Made:
    given = request.properties
    table = TABLES["rtb"](cloud).get(str(given.get("RouteTableId"))) or {}
    if table.get("Associations", {}).get(ref) == given.get("SubnetId"):
        return Made(ref=ref, attributes={"Id": ref})
    _dissociate(cloud, ref, given)
    return _associate(cloud, request)


def _dissociate(cloud: Cloud, ref: str, _properties: Mapping[str, Any]) -> None:
    for id, _ in TABLES["rtb"](cloud).items():
        _drop(cloud, id, "Associations", ref)


def _drop(cloud: Cloud, id: str, member: str, key: str) -> None:
    tables = TABLES["rtb"](cloud)
    with tables.lock:
        if table := tables.get(id):
            table[member].pop(key, None)
            tables.put(id, table)


RESOURCES = (
    *(each.resource() for each in KINDS),
    ResourceType(
        type="AWS::EC2::VPCGatewayAttachment",
        properties=frozenset({"VpcId", "InternetGatewayId"}),
        create=_attach,
        update=_change_attachment,
        delete=_detach,
    ),
    ResourceType(
        type="AWS::EC2::Route",
        properties=frozenset({"RouteTableId", "DestinationCidrBlock", "GatewayId", "NatGatewayId"}),
        create=_route,
        update=_reroute,
        delete=_unroute,
    ),
    ResourceType(
        type="AWS::EC2::SubnetRouteTableAssociation",
        properties=frozenset({"SubnetId", "RouteTableId"}),
        create=_associate,
        update=_reassociate,
        delete=_dissociate,
    ),
)


@SERVICE.operation("DescribeRouteTables", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List route tables."""
    unsupported(request, ("RouteTableIds", "Filters", "MaxResults", "NextToken"), "DescribeRouteTables")
    rows = found(
        TABLES["rtb"](cloud), request.get("RouteTableIds"), "InvalidRouteTableID.NotFound", "routeTable"
    )
    shown, token = page(filtered(rows, request.get("Filters", ()), _values), request)
    return {"RouteTables": [_shown(cloud, each) for each in shown], "NextToken": token}


def _values(record: Record, name: str) -> Iterable[str] | None:
    if name == "association.subnet-id":
        return list(record["Associations"].values())
    return {"vpc-id": [record["VpcId"]], "route-table-id": [record["Id"]]}.get(name)


def _shown(cloud: Cloud, record: Record) -> Document:
    return {
        "RouteTableId": record["Id"],
        "VpcId": record["VpcId"],
        "OwnerId": cloud.account,
        "Routes": [
            {
                "DestinationCidrBlock": destination,
                "NatGatewayId" if target.startswith("nat-") else "GatewayId": target,
                "State": "active",
                "Origin": "CreateRoute",
            }
            for destination, target in record["Routes"].items()
        ],
        "Associations": [
            {"RouteTableAssociationId": id, "RouteTableId": record["Id"], "SubnetId": subnet, "Main": False}
            for id, subnet in record["Associations"].items()
        ],
        "Tags": tags_of(record),
    }
