"""EventBridge Scheduler: what a schedule may ask of the local cloud; ministack would pass over the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.gateway.hooks.private import replace, use

SCHEDULER, EVENTS = "services.scheduler", "services.eventbridge"
RATE = re.compile(r"rate\((?:1 (?:minute|hour|day)|(?!0|1 )\d+ (?:minutes|hours|days))\)")
TARGETS = frozenset({"lambda", "sqs", "sns", "states", "events", "codepipeline"})
TARGET_PROPERTIES = frozenset({"Arn", "RoleArn", "Input"})
ERROR = "ValidationException"


def install() -> None:
    """Refuse by name what would be passed over, at the API."""
    use(EVENTS, "_parse_cron_fields", "expr")
    use(SCHEDULER, "_at_time_epoch", "expr")
    for name in ("_create_schedule", "_update_schedule"):
        replace(SCHEDULER, name, "name", "body", by=_checked)


def _checked(original: Callable[..., Any]) -> Callable[..., Any]:
    refuse = use(SCHEDULER, "_error", "status", "code", "message")

    def change(name: str, body: Mapping[str, Any]) -> Any:
        refused = refusal(body)
        return refuse(400, ERROR, refused) if refused else original(name, body)

    return change


def refusal(schedule: Mapping[str, Any]) -> str | None:
    """Return why a schedule cannot be kept here, or None."""
    target, window = schedule.get("Target") or {}, schedule.get("FlexibleTimeWindow") or {}
    if unknown := sorted(target.keys() - TARGET_PROPERTIES):
        return f"Unsupported: Target.{unknown[0]} of a schedule is not part of the local cloud"
    if window.get("Mode", "OFF") != "OFF":
        return "Unsupported: a flexible time window is not part of the local cloud; its Mode is OFF"
    if schedule.get("ScheduleExpressionTimezone", "UTC") != "UTC":
        return "Unsupported: schedules of the local cloud are in UTC"
    arn = str(target.get("Arn", ""))
    if (service := arn.split(":")[2] if arn.count(":") >= 5 else arn) not in TARGETS:
        return f"Unsupported: a schedule's target of {service or 'no ARN'} is not part of the local cloud"
    return _wrong(str(schedule.get("ScheduleExpression", "")))


def _wrong(expression: str) -> str | None:
    """Return what is wrong with a schedule's expression: it would never come due."""
    if RATE.fullmatch(expression):
        return None
    for module, name in ((EVENTS, "_parse_cron_fields"), (SCHEDULER, "_at_time_epoch")):
        if use(module, name, checked=False)(expression) is not None:
            return None
    return f"Invalid Schedule Expression {expression}."
