"""Actions and conditions of rules: those that the local cloud does, in one form."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.elasticloadbalancing import routing
from atelier.cloud.services.elasticloadbalancing.service import group, invalid, unsupported
from atelier.cloud.services.wire import Document, ServiceError

GROUPS, HEAVIEST = 5, 999
PATTERNS = 128
"""Characters of a condition's value."""

STATUS = ("2", "4", "5")


def checked(cloud: Cloud, actions: list[Document]) -> list[Document]:
    """Return actions as they are kept; raise ServiceError for what cannot be, or is not done here."""
    if len(actions) != 1:
        raise ServiceError(
            "UnsupportedOperation",
            "a rule has one action in the local cloud: forward, redirect, fixed-response",
        )
    action = actions[0]
    kind = action["Type"]
    if kind == "forward":
        return [{"Type": kind, "ForwardConfig": {"TargetGroups": _groups(cloud, action)}}]
    if kind == "redirect":
        return [{"Type": kind, "RedirectConfig": _redirect(action.get("RedirectConfig") or {})}]
    if kind == "fixed-response":
        return [{"Type": kind, "FixedResponseConfig": _fixed(action.get("FixedResponseConfig") or {})}]
    raise ServiceError("UnsupportedOperation", f"the action {kind} is not part of the local cloud")


def shown(actions: list[Document]) -> list[Document]:
    """Return actions as the API shows them."""
    return [_shown(number, each) for number, each in enumerate(actions, 1)]


def _shown(number: int, action: Document) -> Document:
    if action["Type"] != "forward":
        return {**action, "Order": number}
    groups = action["ForwardConfig"]["TargetGroups"]
    config = {**action["ForwardConfig"], "TargetGroupStickinessConfig": {"Enabled": False}}
    single = {"TargetGroupArn": groups[0]["TargetGroupArn"]} if len(groups) == 1 else {}
    return {**action, **single, "ForwardConfig": config, "Order": number}


def _groups(cloud: Cloud, action: Document) -> list[Document]:
    unsupported(action, ("Type", "Order", "TargetGroupArn", "ForwardConfig"), "Actions")
    config = action.get("ForwardConfig") or {
        "TargetGroups": [{"TargetGroupArn": action.get("TargetGroupArn")}]
    }
    unsupported(config, ("TargetGroups", "TargetGroupStickinessConfig"), "ForwardConfig")
    if (config.get("TargetGroupStickinessConfig") or {}).get("Enabled"):
        raise ServiceError("UnsupportedOperation", "sticky target groups are not part of the local cloud")
    rows = config.get("TargetGroups") or []
    if not 1 <= len(rows) <= GROUPS:
        raise invalid(f"A forward action needs 1 to {GROUPS} target groups")
    found = []
    for each in rows:
        weight = each.get("Weight", 1)
        if not 0 <= weight <= HEAVIEST:
            raise invalid(f"The weight {weight} of a target group is not within 0-{HEAVIEST}")
        found.append({"TargetGroupArn": group(cloud, each["TargetGroupArn"] or "")["Arn"], "Weight": weight})
    return found


def _redirect(config: Document) -> Document:
    whole = {
        "Protocol": "#{protocol}",
        "Host": "#{host}",
        "Port": "#{port}",
        "Path": "/#{path}",
        "Query": "#{query}",
        **config,
    }
    if "StatusCode" not in config:
        raise invalid("A redirect needs a StatusCode: HTTP_301 or HTTP_302")
    if not whole["Path"].startswith("/"):
        raise invalid("The path of a redirect must begin with '/'")
    same = all(f"#{{{name.lower()}}}" in whole[name] for name in ("Protocol", "Host", "Port", "Path"))
    if same:
        raise invalid(
            "A redirect must change the protocol, the host, the port or the path: else it is a loop"
        )
    return whole


def _fixed(config: Document) -> Document:
    code = config.get("StatusCode", "")
    if len(code) != 3 or code[0] not in STATUS or not code.isdecimal():
        raise invalid(f"The status code '{code}' of a fixed response must be 2XX, 4XX or 5XX")
    return {"ContentType": "text/plain", "MessageBody": "", **config}


def conditions(given: list[Document]) -> list[Document]:
    """Return conditions as they are kept; raise ServiceError for what cannot be."""
    if not given:
        raise invalid("A condition must be specified")
    return [_condition(each) for each in given]


def _condition(condition: Document) -> Document:
    field = condition.get("Field") or _field(condition)
    if field not in routing.CONFIGS:
        raise invalid(f"The condition field '{field}' is not valid")
    name = routing.CONFIGS[field]
    unsupported(condition, ("Field", "Values", name), "Conditions")
    if "Values" in condition and name in condition:
        raise invalid(f"A condition has Values or {name}, not both")
    config = {**(condition.get(name) or {}), "Values": routing.values({**condition, "Field": field})}
    unsupported(config, ("Values", "HttpHeaderName"), name)
    if not config["Values"]:
        raise invalid(f"A condition of '{field}' needs values")
    _check(field, config)
    return {"Field": field, name: config}


def _field(condition: Document) -> str:
    return next((field for field, name in routing.CONFIGS.items() if name in condition), "")


def _check(field: str, config: Mapping[str, Any]) -> None:
    if field == "http-header" and not config.get("HttpHeaderName"):
        raise invalid("A condition of 'http-header' needs an HttpHeaderName")
    if field == "query-string":
        if any("Value" not in each for each in config["Values"]):
            raise invalid("A condition of 'query-string' needs a Value")
        return
    for each in config["Values"]:
        if not 0 < len(each) <= PATTERNS:
            raise invalid(f"A condition value has 1 to {PATTERNS} characters")
        if field == "source-ip":
            _network(each)


def _network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise invalid(f"'{text}' is not a valid CIDR block") from error


def conditions_shown(kept: list[Document]) -> list[Document]:
    """Return conditions as the API shows them: the two oldest have their values twice."""
    both = ("path-pattern", "host-header")
    return [
        {**each, "Values": each[routing.CONFIGS[each["Field"]]]["Values"]} if each["Field"] in both else each
        for each in kept
    ]
