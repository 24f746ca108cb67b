"""Target groups: what is asked in place of a load balancer, and how its health is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.elasticloadbalancing import attributes, live
from atelier.cloud.services.elasticloadbalancing.service import (
    SCOPE,
    SERVICE,
    group,
    groups,
    new_id,
    now,
    on,
    on_new,
    page,
    targets,
    unsupported,
    users,
)
from atelier.cloud.services.elasticloadbalancing.tags import plain
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

CHECK = {
    "Protocol": "HTTP",
    "Port": "traffic-port",
    "Path": "/",
    "IntervalSeconds": 30,
    "TimeoutSeconds": 5,
}
"""A health check that says nothing; what the request names `HealthCheckPath` is `Path` in here."""

THRESHOLDS = {"HealthyThresholdCount": 5, "UnhealthyThresholdCount": 2}
SETTINGS = (*(f"HealthCheck{each}" for each in CHECK), *THRESHOLDS, "Matcher", "HealthCheckEnabled")
FIXED = ("Name", "Protocol", "ProtocolVersion", "Port", "VpcId", "TargetType", "IpAddressType")
"""What cannot be changed."""

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?")
CODES = re.compile(r"[2-4]\d\d(?:-[2-4]\d\d)?(?:,[2-4]\d\d(?:-[2-4]\d\d)?)*")
ONLY = {
    "Protocol": "HTTP",
    "ProtocolVersion": "HTTP1",
    "TargetType": "ip",
    "HealthCheckProtocol": "HTTP",
    "HealthCheckEnabled": True,
    "IpAddressType": "ipv4",
}
"""What may be said, but not otherwise."""


@SERVICE.operation("CreateTargetGroup", on=on_new("targetgroup"))
def create(cloud: Cloud, request: Document) -> Document:
    """Make a target group; the same one again is the one that is there."""
    unsupported(request, (*FIXED, *SETTINGS, "Tags"), "CreateTargetGroup")
    made = _made(cloud, request)
    with groups(cloud).lock:
        there = next((each for _, each in groups(cloud).items() if each["Name"] == made["Name"]), None)
        if there is None:
            groups(cloud).put(made["Arn"], made)
        elif not _same(there, made):
            message = (
                f"A target group with the same name '{made['Name']}' exists, but with different settings"
            )
            raise ServiceError("DuplicateTargetGroupName", message)
    live.of(cloud).refresh()
    return {"TargetGroups": [_shown(cloud, there or made)]}


@SERVICE.operation("ModifyTargetGroup", on=on("TargetGroupArn"))
def modify(cloud: Cloud, request: Document) -> Document:
    """Change how health is checked."""
    unsupported(request, (*SETTINGS, "TargetGroupArn"), "ModifyTargetGroup")
    arn = request["TargetGroupArn"]
    with groups(cloud).lock:
        record = group(cloud, arn)
        _refuse(request)
        check, matcher = _check(request, record["HealthCheck"]), _matcher(request, record["Matcher"])
        record = groups(cloud).change(arn, HealthCheck=check, Matcher=matcher)
    live.of(cloud).refresh()
    return {"TargetGroups": [_shown(cloud, record)]}


@SERVICE.operation("DeleteTargetGroup", on=on("TargetGroupArn"))
def delete(cloud: Cloud, request: Document) -> None:
    """Forget a target group that nothing forwards to."""
    arn = request["TargetGroupArn"]
    if users(cloud, arn):
        message = f"Target group '{arn}' is currently in use by a listener or a rule"
        raise ServiceError("ResourceInUse", message)
    groups(cloud).delete(arn)
    for key, each in targets(cloud).items():
        if each["Group"] == arn:
            targets(cloud).delete(key)
    live.of(cloud).refresh()


@SERVICE.operation("DescribeTargetGroups", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List target groups."""
    known = ("LoadBalancerArn", "TargetGroupArns", "Names", "Marker", "PageSize")
    unsupported(request, known, "DescribeTargetGroups")
    rows = [each for _, each in groups(cloud).items()]
    if arns := request.get("TargetGroupArns"):
        rows = [group(cloud, each) for each in arns]
    if names := request.get("Names"):
        rows = [_named(rows, each) for each in names]
    if balancer := request.get("LoadBalancerArn"):
        rows = [each for each in rows if balancer in users(cloud, each["Arn"])]
    shown, marker = page(rows, request)
    return {"TargetGroups": [_shown(cloud, each) for each in shown], "NextMarker": marker}


@SERVICE.operation("DescribeTargetGroupAttributes", on=on("TargetGroupArn"))
def describe_attributes(cloud: Cloud, request: Document) -> Document:
    """List a group's attributes."""
    return {"Attributes": attributes.listed(group(cloud, request["TargetGroupArn"])["Attributes"])}


@SERVICE.operation("ModifyTargetGroupAttributes", on=on("TargetGroupArn"))
def modify_attributes(cloud: Cloud, request: Document) -> Document:
    """Change a group's attributes."""
    arn, given = request["TargetGroupArn"], attributes.checked(attributes.GROUP, request["Attributes"])
    with groups(cloud).lock:
        kept = {**group(cloud, arn)["Attributes"], **given}
        groups(cloud).change(arn, Attributes=kept)
    live.of(cloud).refresh()
    return {"Attributes": attributes.listed(kept)}


def _named(rows: list[Record], name: str) -> Record:
    for each in rows:
        if each["Name"] == name:
            return each
    raise ServiceError("TargetGroupNotFound", f"Target group '{name}' not found")


def _made(cloud: Cloud, request: Document) -> Record:
    name = request["Name"]
    if not NAME.fullmatch(name):
        raise ServiceError("ValidationError", f"Target group name '{name}' is not valid")
    _refuse({"TargetType": "instance", **request})
    if missing := [each for each in ("Protocol", "Port", "VpcId") if each not in request]:
        raise ServiceError("ValidationError", f"A {missing[0]} must be specified")
    return {
        "Arn": cloud.arn(SCOPE, f"targetgroup/{name}/{new_id()}"),
        "Name": name,
        "Port": request["Port"],
        "VpcId": request["VpcId"],
        "HealthCheck": _check(request, {**CHECK, **THRESHOLDS}),
        "Matcher": _matcher(request, "200"),
        "Attributes": attributes.initial(attributes.GROUP),
        "Tags": plain(request.get("Tags", ())),
        "CreatedTime": now(),
    }


def _refuse(request: Mapping[str, Any]) -> None:
    for name, value in ONLY.items():
        if name in request and request[name] != value:
            text = (
                f"a target group whose {name} is {request[name]} is not part of the local cloud: only {value}"
            )
            raise ServiceError("UnsupportedOperation", text)


def _check(request: Mapping[str, Any], before: Mapping[str, Any]) -> Record:
    said = {name: request[f"HealthCheck{name}"] for name in CHECK if f"HealthCheck{name}" in request}
    check = {**before, **said, **{name: request[name] for name in THRESHOLDS if name in request}}
    port = check["Port"]
    if port != "traffic-port" and not (port.isdecimal() and 1 <= int(port) <= 65_535):
        raise ServiceError("ValidationError", f"Health check port '{port}' must be 'traffic-port' or a port")
    if not 5 <= check["IntervalSeconds"] <= 300 or not 2 <= check["TimeoutSeconds"] <= 120:
        raise ServiceError("ValidationError", "Health check interval: 5-300 seconds; timeout: 2-120 seconds")
    if check["TimeoutSeconds"] >= check["IntervalSeconds"]:
        raise ServiceError("ValidationError", "Health check timeout must be smaller than the interval")
    if any(not 2 <= check[name] <= 10 for name in THRESHOLDS):
        raise ServiceError("ValidationError", "Health check thresholds must be between 2 and 10")
    if not check["Path"].startswith("/"):
        raise ServiceError("ValidationError", f"Health check path '{check['Path']}' must begin with '/'")
    return check


def _matcher(request: Mapping[str, Any], before: str) -> str:
    given = request.get("Matcher") or {"HttpCode": before}
    unsupported(given, ("HttpCode",), "Matcher")
    if not CODES.fullmatch(given.get("HttpCode", "")):
        raise ServiceError(
            "ValidationError",
            f"Health check matcher HTTP code '{given.get('HttpCode')}' must be within 200-499",
        )
    return str(given["HttpCode"])


def _same(one: Record, other: Record) -> bool:
    return all(one[name] == other[name] for name in ("Port", "VpcId", "HealthCheck", "Matcher"))


def _shown(cloud: Cloud, record: Record) -> Document:
    check = record["HealthCheck"]
    return {
        "TargetGroupArn": record["Arn"],
        "TargetGroupName": record["Name"],
        "Port": record["Port"],
        "VpcId": record["VpcId"],
        **{name: value for name, value in ONLY.items() if name != "HealthCheckProtocol"},
        **{f"HealthCheck{name}": check[name] for name in CHECK},
        **{name: check[name] for name in THRESHOLDS},
        "Matcher": {"HttpCode": record["Matcher"]},
        "LoadBalancerArns": sorted(users(cloud, record["Arn"])),
    }
