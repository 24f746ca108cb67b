"""Load balancers: an address of the loopback interface each, which listeners open ports at."""

from __future__ import annotations

import re
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.elasticloadbalancing import access_logs, attributes, live, places
from atelier.cloud.services.elasticloadbalancing.service import (
    SCOPE,
    SERVICE,
    balancer,
    invalid,
    listeners,
    load_balancers,
    new_id,
    now,
    on,
    on_new,
    page,
    rules,
    unsupported,
)
from atelier.cloud.services.elasticloadbalancing.tags import plain
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

KNOWN = ("Name", "Subnets", "SecurityGroups", "Scheme", "Tags", "Type", "IpAddressType")
NAME = re.compile(r"(?!internal-)[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?")
ZONE_ID = "Z35SXDOTRQ7X7K"
"""The hosted zone of all load balancers in the local cloud's region."""


@SERVICE.operation("CreateLoadBalancer", on=on_new("loadbalancer/app"))
def create(cloud: Cloud, request: Document) -> Document:
    """Make a load balancer; the same one again is the one that is there."""
    unsupported(request, KNOWN, "CreateLoadBalancer")
    with load_balancers(cloud).lock:
        made = _made(cloud, request)
        there = next(
            (each for _, each in load_balancers(cloud).items() if each["Name"] == made["Name"]), None
        )
        if there is None:
            load_balancers(cloud).put(made["Arn"], made)
        elif any(there[name] != made[name] for name in ("Scheme", "Subnets", "SecurityGroups")):
            message = (
                f"A load balancer with the same name '{made['Name']}' exists, but with different settings"
            )
            raise ServiceError("DuplicateLoadBalancerName", message)
    live.of(cloud).refresh()
    return {"LoadBalancers": [_shown(cloud, there or made)]}


@SERVICE.operation("DeleteLoadBalancer", on=on("LoadBalancerArn"))
def delete(cloud: Cloud, request: Document) -> None:
    """Forget a load balancer with its listeners; one that is not there is no error."""
    arn = request["LoadBalancerArn"]
    record = load_balancers(cloud).get(arn)
    if record is None:
        return
    if record["Attributes"]["deletion_protection.enabled"] == "true":
        message = f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
        raise ServiceError("OperationNotPermitted", message)
    for listener, each in listeners(cloud).items():
        if each["LoadBalancerArn"] == arn:
            forget_listener(cloud, listener)
    load_balancers(cloud).delete(arn)
    live.of(cloud).refresh()


def forget_listener(cloud: Cloud, arn: str) -> None:
    """Forget a listener with its rules; what runs has to be refreshed."""
    for rule, each in rules(cloud).items():
        if each["ListenerArn"] == arn:
            rules(cloud).delete(rule)
    listeners(cloud).delete(arn)


@SERVICE.operation("DescribeLoadBalancers", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List load balancers."""
    unsupported(request, ("LoadBalancerArns", "Names", "Marker", "PageSize"), "DescribeLoadBalancers")
    rows = [each for _, each in load_balancers(cloud).items()]
    if arns := request.get("LoadBalancerArns"):
        rows = [balancer(cloud, each) for each in arns]
    if names := request.get("Names"):
        rows = [_named(rows, each) for each in names]
    shown, marker = page(rows, request)
    return {"LoadBalancers": [_shown(cloud, each) for each in shown], "NextMarker": marker}


@SERVICE.operation("DescribeLoadBalancerAttributes", on=on("LoadBalancerArn"))
def describe_attributes(cloud: Cloud, request: Document) -> Document:
    """List a load balancer's attributes."""
    return {"Attributes": attributes.listed(balancer(cloud, request["LoadBalancerArn"])["Attributes"])}


@SERVICE.operation("ModifyLoadBalancerAttributes", on=on("LoadBalancerArn"))
def modify_attributes(cloud: Cloud, request: Document) -> Document:
    """Change a load balancer's attributes."""
    arn = request["LoadBalancerArn"]
    given = attributes.checked(attributes.BALANCER, request["Attributes"])
    record = balancer(cloud, arn)
    attributes.complete({**record["Attributes"], **given})
    if any(name.startswith("access_logs.") for name in given):
        access_logs.try_out(cloud, record, {**record["Attributes"], **given})
    with load_balancers(cloud).lock:
        kept = {**balancer(cloud, arn)["Attributes"], **given}
        load_balancers(cloud).change(arn, Attributes=kept)
    live.of(cloud).refresh()
    return {"Attributes": attributes.listed(kept)}


@SERVICE.operation("SetSecurityGroups", on=on("LoadBalancerArn"))
def set_security_groups(cloud: Cloud, request: Document) -> Document:
    """Put a load balancer into other security groups."""
    unsupported(request, ("LoadBalancerArn", "SecurityGroups"), "SetSecurityGroups")
    balancer(cloud, request["LoadBalancerArn"])
    load_balancers(cloud).change(request["LoadBalancerArn"], SecurityGroups=request["SecurityGroups"])
    return {"SecurityGroupIds": request["SecurityGroups"]}


@SERVICE.operation("SetSubnets", on=on("LoadBalancerArn"))
def set_subnets(cloud: Cloud, request: Document) -> Document:
    """Put a load balancer into other subnets."""
    unsupported(request, ("LoadBalancerArn", "Subnets"), "SetSubnets")
    balancer(cloud, request["LoadBalancerArn"])
    subnets = _subnets(request)
    load_balancers(cloud).change(request["LoadBalancerArn"], Subnets=subnets)
    return {"AvailabilityZones": _zones(cloud, subnets)}


def _named(rows: list[Record], name: str) -> Record:
    for each in rows:
        if each["Name"] == name:
            return each
    raise ServiceError("LoadBalancerNotFound", f"Load balancer '{name}' not found")


def _made(cloud: Cloud, request: Document) -> Record:
    name = request["Name"]
    if not NAME.fullmatch(name):
        raise ServiceError("ValidationError", f"The load balancer name '{name}' is not valid")
    if request.get("Type", "application") != "application":
        raise ServiceError(
            "UnsupportedOperation", f"{request['Type']} load balancers are not part of the local cloud"
        )
    if request.get("IpAddressType", "ipv4") != "ipv4":
        raise ServiceError(
            "UnsupportedOperation", f"IpAddressType {request['IpAddressType']} is not part of the local cloud"
        )
    address, instead = places.free(cloud)
    return {
        "Arn": cloud.arn(SCOPE, f"loadbalancer/app/{name}/{new_id()}"),
        "Name": name,
        "Scheme": request.get("Scheme", "internet-facing"),
        "Subnets": _subnets(request),
        "SecurityGroups": request.get("SecurityGroups", []),
        "Address": address,
        "Instead": instead,
        "Attributes": attributes.initial(attributes.BALANCER),
        "Tags": plain(request.get("Tags", ())),
        "CreatedTime": now(),
    }


def _subnets(request: Document) -> list[str]:
    subnets = list(request.get("Subnets", ()))
    if len(set(subnets)) < 2:
        raise invalid("At least two subnets in two different Availability Zones must be specified")
    return subnets


def _zones(cloud: Cloud, subnets: list[str]) -> list[dict[str, Any]]:
    return [
        {"ZoneName": f"{cloud.region}{'abcdef'[number % 6]}", "SubnetId": subnet}
        for number, subnet in enumerate(subnets)
    ]


def _shown(cloud: Cloud, record: Record) -> Document:
    return {
        "LoadBalancerArn": record["Arn"],
        "LoadBalancerName": record["Name"],
        "DNSName": places.name(record),
        "CanonicalHostedZoneId": ZONE_ID,
        "CreatedTime": record["CreatedTime"],
        "Scheme": record["Scheme"],
        "State": _state(cloud, record),
        "Type": "application",
        "AvailabilityZones": _zones(cloud, record["Subnets"]),
        "SecurityGroups": record["SecurityGroups"],
        "IpAddressType": "ipv4",
    }


def _state(cloud: Cloud, record: Record) -> Document:
    """Return ``active``, or ``failed`` when a listener's port cannot be opened (any more)."""
    for arn, why in live.of(cloud).closed.items():
        if (listeners(cloud).get(arn) or {}).get("LoadBalancerArn") == record["Arn"]:
            return {"Code": "failed", "Reason": why}
    return {"Code": "active"}
