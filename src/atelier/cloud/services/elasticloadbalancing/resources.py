"""CloudFormation's types, each of which goes through the operations of the service, as its caller."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.elasticloadbalancing import attributes, places
from atelier.cloud.services.elasticloadbalancing.load_balancers import ZONE_ID
from atelier.cloud.services.elasticloadbalancing.service import (
    SERVICE,
    balancer,
    dimension,
    group,
    groups,
    listeners,
    load_balancers,
    rules,
    users,
)
from atelier.cloud.services.elasticloadbalancing.tags import TABLES
from atelier.cloud.services.resources import Made, Request, ResourceType, from_cloudformation
from atelier.cloud.services.wire import Document
from atelier.cloud.store import Record

SPACE = "AWS::ElasticLoadBalancingV2::"
LONGEST = 32
"""Characters of a load balancer's or target group's name."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _call(cloud: Cloud, operation: str, given: Mapping[str, Any], **more: Any) -> Document:
    """Call an operation with those of the properties that it has."""
    shape = SERVICE.shapes.operation_model(operation).input_shape
    assert shape is not None
    names = shape.members.keys() - {"Tags"}  # those of a stack hold CloudFormation's own
    own = {name: each for name, each in given.items() if name in names and each is not None}
    request = from_cloudformation({**own, **more}, shape, operation)
    return SERVICE.call(cloud, operation, request)


def _name(request: Request, fixed: Iterable[str]) -> str:
    """Return a name for what is given none; what replaces it is named otherwise."""
    said = [request.name, {name: request.properties.get(name) for name in fixed}]
    tail = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:12]
    head = re.sub(r"[^A-Za-z0-9]+", "-", request.stack.rsplit("/", 2)[0].rsplit(":", 1)[-1])
    return f"{head[: LONGEST - 13].strip('-') or 'stack'}-{tail}"


def _attributes(known: Mapping[str, attributes.Attribute], given: Any) -> list[dict[str, str]]:
    """Return all attributes: those that a template says nothing of are as of something new."""
    said = attributes.checked(known, ({**each, "Value": _text(each.get("Value"))} for each in given or ()))
    return attributes.listed({**attributes.initial(known), **said})


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tag(cloud: Cloud, arn: str, request: Request) -> None:
    kind = arn.rsplit(":", 1)[-1].partition("/")[0]
    tags = {each["Key"]: each.get("Value", "") for each in request.properties.get("Tags") or ()}
    TABLES[kind][0](cloud).change(arn, Tags=tags)


def _is_other(before: Record, request: Request, *names: str) -> bool:
    """Say whether a property that cannot be changed is to be another."""
    return any(str(before[name]) != str(request.properties.get(name, before[name])) for name in names)


GROUP_FIXED = ("Name", "Port", "VpcId", "Protocol", "TargetType")


def create_group(cloud: Cloud, request: Request) -> Made:
    """Make a target group with its attributes and targets."""
    given = {"Name": _name(request, GROUP_FIXED), **request.properties}
    arn = _call(cloud, "CreateTargetGroup", given)["TargetGroups"][0]["TargetGroupArn"]
    try:
        return _with_targets(cloud, arn, request)
    except Exception:  # leave nothing half made behind
        _call(cloud, "DeleteTargetGroup", {}, TargetGroupArn=arn)
        raise


def update_group(cloud: Cloud, ref: str, request: Request) -> Made:
    """Change a target group; what cannot be changed makes another."""
    before = groups(cloud).get(ref)
    if before is None or _is_other(before, request, "Name", "Port", "VpcId"):
        return create_group(cloud, request)
    defaults = {"HealthCheckPath": "/", "HealthCheckPort": "traffic-port", "Matcher": {"HttpCode": "200"}}
    _call(cloud, "ModifyTargetGroup", {**defaults, **request.properties}, TargetGroupArn=ref)
    return _with_targets(cloud, ref, request)


def _with_targets(cloud: Cloud, arn: str, request: Request) -> Made:
    wanted = _attributes(attributes.GROUP, request.properties.get("TargetGroupAttributes"))
    _call(cloud, "ModifyTargetGroupAttributes", {}, TargetGroupArn=arn, Attributes=wanted)
    if members := request.properties.get("Targets"):
        _call(cloud, "RegisterTargets", {}, TargetGroupArn=arn, Targets=members)
    _tag(cloud, arn, request)
    return Made(
        ref=arn,
        attributes={
            "TargetGroupArn": arn,
            "TargetGroupFullName": dimension(arn),
            "TargetGroupName": group(cloud, arn)["Name"],
            "LoadBalancerArns": sorted(users(cloud, arn)),
        },
    )


def delete_group(cloud: Cloud, ref: str, _properties: Mapping[str, Any]) -> None:
    """Delete a target group."""
    if ref in groups(cloud):
        _call(cloud, "DeleteTargetGroup", {}, TargetGroupArn=ref)


def create_balancer(cloud: Cloud, request: Request) -> Made:
    """Make a load balancer with its attributes."""
    given = {"Name": _name(request, ("Name", "Scheme", "Type")), **request.properties}
    arn = _call(cloud, "CreateLoadBalancer", given)["LoadBalancers"][0]["LoadBalancerArn"]
    try:
        return _with_attributes(cloud, arn, request)
    except Exception:  # leave nothing half made behind
        _call(cloud, "DeleteLoadBalancer", {}, LoadBalancerArn=arn)
        raise


def update_balancer(cloud: Cloud, ref: str, request: Request) -> Made:
    """Change a load balancer; what cannot be changed makes another."""
    before, given = load_balancers(cloud).get(ref), request.properties
    if before is None or _is_other(before, request, "Name", "Scheme"):
        return create_balancer(cloud, request)
    if "Subnets" in given and list(given["Subnets"]) != before["Subnets"]:
        _call(cloud, "SetSubnets", {"Subnets": given["Subnets"]}, LoadBalancerArn=ref)
    if list(given.get("SecurityGroups") or ()) != before["SecurityGroups"]:
        wanted = list(given.get("SecurityGroups") or ())
        _call(cloud, "SetSecurityGroups", {}, LoadBalancerArn=ref, SecurityGroups=wanted)
    return _with_attributes(cloud, ref, request)


def _with_attributes(cloud: Cloud, arn: str, request: Request) -> Made:
    wanted = _attributes(attributes.BALANCER, request.properties.get("LoadBalancerAttributes"))
    _call(cloud, "ModifyLoadBalancerAttributes", {}, LoadBalancerArn=arn, Attributes=wanted)
    _tag(cloud, arn, request)
    record = balancer(cloud, arn)
    return Made(
        ref=arn,
        attributes={
            "LoadBalancerArn": arn,
            "LoadBalancerFullName": dimension(arn),
            "LoadBalancerName": record["Name"],
            "DNSName": places.name(record),
            "CanonicalHostedZoneID": ZONE_ID,
            "SecurityGroups": record["SecurityGroups"],
        },
    )


def delete_balancer(cloud: Cloud, ref: str, _properties: Mapping[str, Any]) -> None:
    """Delete a load balancer."""
    _call(cloud, "DeleteLoadBalancer", {}, LoadBalancerArn=ref)


def create_listener(cloud: Cloud, request: Request) -> Made:
    """Open a port."""
    made = _call(cloud, "CreateListener", request.properties)["Listeners"][0]["ListenerArn"]
    _tag(cloud, made, request)
    return Made(ref=made, attributes={"ListenerArn": made})


def update_listener(cloud: Cloud, ref: str, request: Request) -> Made:
    """Change a listener; another load balancer's is another one."""
    before = listeners(cloud).get(ref)
    if before is None or _is_other(before, request, "LoadBalancerArn"):
        return create_listener(cloud, request)
    _call(cloud, "ModifyListener", {"Certificates": [], **request.properties}, ListenerArn=ref)
    _tag(cloud, ref, request)
    return Made(ref=ref, attributes={"ListenerArn": ref})


def delete_listener(cloud: Cloud, ref: str, _properties: Mapping[str, Any]) -> None:
    """Close a port."""
    if ref in listeners(cloud):
        _call(cloud, "DeleteListener", {}, ListenerArn=ref)


def create_rule(cloud: Cloud, request: Request) -> Made:
    """Add a rule."""
    made = _call(cloud, "CreateRule", request.properties)["Rules"][0]["RuleArn"]
    _tag(cloud, made, request)
    return Made(ref=made, attributes={"RuleArn": made, "IsDefault": False})


def update_rule(cloud: Cloud, ref: str, request: Request) -> Made:
    """Change a rule; another listener's is another one."""
    before = rules(cloud).get(ref)
    if before is None or _is_other(before, request, "ListenerArn"):
        return create_rule(cloud, request)
    if _is_other(before, request, "Priority"):
        wanted = [{"RuleArn": ref, "Priority": request.properties["Priority"]}]
        _call(cloud, "SetRulePriorities", {}, RulePriorities=wanted)
    _call(cloud, "ModifyRule", request.properties, RuleArn=ref)
    _tag(cloud, ref, request)
    return Made(ref=ref, attributes={"RuleArn": ref, "IsDefault": False})


def delete_rule(cloud: Cloud, ref: str, _properties: Mapping[str, Any]) -> None:
    """Delete a rule."""
    if ref in rules(cloud):
        _call(cloud, "DeleteRule", {}, RuleArn=ref)


RESOURCES = (
    ResourceType(
        type=f"{SPACE}TargetGroup",
        properties=_words(
            "HealthCheckEnabled HealthCheckIntervalSeconds HealthCheckPath HealthCheckPort"
            " HealthCheckProtocol HealthCheckTimeoutSeconds HealthyThresholdCount IpAddressType Matcher Name"
            " Port Protocol ProtocolVersion Tags TargetGroupAttributes TargetType Targets"
            " UnhealthyThresholdCount VpcId"
        ),
        create=create_group,
        update=update_group,
        delete=delete_group,
    ),
    ResourceType(
        type=f"{SPACE}LoadBalancer",
        properties=_words(
            "IpAddressType LoadBalancerAttributes Name Scheme SecurityGroups Subnets Tags Type"
        ),
        create=create_balancer,
        update=update_balancer,
        delete=delete_balancer,
    ),
    ResourceType(
        type=f"{SPACE}Listener",
        properties=_words("Certificates DefaultActions LoadBalancerArn Port Protocol SslPolicy Tags"),
        create=create_listener,
        update=update_listener,
        delete=delete_listener,
    ),
    ResourceType(
        type=f"{SPACE}ListenerRule",
        properties=_words("Actions Conditions ListenerArn Priority Tags"),
        create=create_rule,
        update=update_rule,
        delete=delete_rule,
    ),
)
