"""Rules of listeners, by priority."""

from __future__ import annotations

from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.elasticloadbalancing import actions, live
from atelier.cloud.services.elasticloadbalancing.service import (
    SERVICE,
    found,
    listener,
    new_id,
    on,
    page,
    unsupported,
)
from atelier.cloud.services.elasticloadbalancing.service import rules as table
from atelier.cloud.services.elasticloadbalancing.tags import plain
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

DEFAULT = "default"


@SERVICE.operation("CreateRule", on=on("ListenerArn"))
def create(cloud: Cloud, request: Document) -> Document:
    """Add a rule to a listener."""
    unsupported(request, ("ListenerArn", "Conditions", "Priority", "Actions", "Tags"), "CreateRule")
    owner = listener(cloud, request["ListenerArn"])
    record = {
        "Arn": f"{owner['Arn'].replace(':listener/', ':listener-rule/')}/{new_id()}",
        "ListenerArn": owner["Arn"],
        "Priority": request["Priority"],
        "Conditions": actions.conditions(request["Conditions"]),
        "Actions": actions.checked(cloud, request["Actions"]),
        "Tags": plain(request.get("Tags", ())),
    }
    with table(cloud).lock:
        _free(cloud, owner["Arn"], {record["Arn"]: record["Priority"]})
        table(cloud).put(record["Arn"], record)
    live.of(cloud).refresh()
    return {"Rules": [_shown(record)]}


@SERVICE.operation("ModifyRule", on=on("RuleArn"))
def modify(cloud: Cloud, request: Document) -> Document:
    """Change a rule's conditions or action."""
    unsupported(request, ("RuleArn", "Conditions", "Actions"), "ModifyRule")
    changes: dict[str, Any] = {}
    if "Conditions" in request:
        changes["Conditions"] = actions.conditions(request["Conditions"])
    if "Actions" in request:
        changes["Actions"] = actions.checked(cloud, request["Actions"])
    with table(cloud).lock:
        _rule(cloud, request["RuleArn"])
        record = table(cloud).change(request["RuleArn"], **changes)
    live.of(cloud).refresh()
    return {"Rules": [_shown(record)]}


def _on_rules(_cloud: Cloud, request: Document) -> list[str]:
    return [each["RuleArn"] for each in request["RulePriorities"]]


@SERVICE.operation("SetRulePriorities", on=_on_rules)
def set_priorities(cloud: Cloud, request: Document) -> Document:
    """Give rules of one listener other priorities, all at once."""
    wanted = {each["RuleArn"]: each["Priority"] for each in request["RulePriorities"]}
    with table(cloud).lock:
        owners = {_rule(cloud, each)["ListenerArn"] for each in wanted}
        for owner in owners:
            _free(cloud, owner, wanted)
        changed = [table(cloud).change(arn, Priority=number) for arn, number in wanted.items()]
    live.of(cloud).refresh()
    return {"Rules": [_shown(each) for each in changed]}


@SERVICE.operation("DeleteRule", on=on("RuleArn"))
def delete(cloud: Cloud, request: Document) -> None:
    """Forget a rule."""
    _rule(cloud, request["RuleArn"])
    table(cloud).delete(request["RuleArn"])
    live.of(cloud).refresh()


@SERVICE.operation("DescribeRules", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List a listener's rules with the default one, or those that are asked for."""
    unsupported(request, ("ListenerArn", "RuleArns", "Marker", "PageSize"), "DescribeRules")
    if arns := request.get("RuleArns"):
        rows = [_shown(_rule(cloud, each)) for each in arns]
    elif arn := request.get("ListenerArn"):
        owner = listener(cloud, arn)
        own = [each for _, each in table(cloud).items() if each["ListenerArn"] == arn]
        rows = [_shown(each) for each in sorted(own, key=lambda each: each["Priority"])]
        rows.append(_default(owner))
    else:
        raise ServiceError("ValidationError", "You must specify either rule ARNs or a listener ARN")
    shown, marker = page(rows, request)
    return {"Rules": shown, "NextMarker": marker}


def _rule(cloud: Cloud, arn: str) -> Record:
    return found(table(cloud), arn, "RuleNotFound", "Rule")


def _free(cloud: Cloud, owner: str, wanted: dict[str, int]) -> None:
    """Raise ServiceError when two rules of a listener would have one priority."""
    kept = {arn: each["Priority"] for arn, each in table(cloud).items() if each["ListenerArn"] == owner}
    numbers = list({**kept, **wanted}.values())
    if twice := sorted({each for each in numbers if numbers.count(each) > 1}):
        raise ServiceError("PriorityInUse", f"Priority '{twice[0]}' is currently in use")


def _shown(record: Record) -> Document:
    return {
        "RuleArn": record["Arn"],
        "Priority": str(record["Priority"]),
        "Conditions": actions.conditions_shown(record["Conditions"]),
        "Actions": actions.shown(record["Actions"]),
        "IsDefault": False,
    }


def _default(owner: Record) -> Document:
    return {
        "RuleArn": f"{owner['Arn'].replace(':listener/', ':listener-rule/')}/{DEFAULT}",
        "Priority": DEFAULT,
        "Conditions": [],
        "Actions": actions.shown(owner["DefaultActions"]),
        "IsDefault": True,
    }
