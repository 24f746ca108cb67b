"""When secrets are rotated by the clock, and the CloudFormation type that sets it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from atelier.cloud.context import Refused
from atelier.cloud.gateway.hooks import state
from atelier.cloud.gateway.hooks.private import use

SECRETS = "services.secretsmanager"
TYPE = "AWS::SecretsManager::RotationSchedule"
DAY, HOUR = 86_400, 3_600
RATE = re.compile(r"rate\((\d+) (hour|day)s?\)")
LONGEST_DAYS, FEWEST_HOURS = 1000, 4
LAST = "LastRotationBegun"
"""When the last rotation began, or the clock was set: kept with the secret, which outlives a restart."""

Secret = dict[str, Any]


def seconds(rules: Mapping[str, Any] | None) -> float | None:
    """Return how often *rules* ask for a rotation; None for never by the clock."""
    if not rules:
        return None
    if unknown := sorted(rules.keys() - {"AutomaticallyAfterDays", "ScheduleExpression"}):
        raise Refused(f"RotationRules.{unknown[0]} is not part of the local cloud")
    if len(rules) == 2:
        raise Refused("RotationRules takes AutomaticallyAfterDays or ScheduleExpression, not both")
    expression = rules.get("ScheduleExpression") or f"rate({rules['AutomaticallyAfterDays']} days)"
    match = RATE.fullmatch(str(expression))
    if match is None:
        raise Refused(f"RotationRules: {expression} is not part of the local cloud, rate(N days|hours) is")
    asked = int(match[1]) * (DAY if match[2] == "day" else HOUR)
    if not FEWEST_HOURS * HOUR <= asked <= LONGEST_DAYS * DAY:
        raise Refused(f"RotationRules: {expression} is not between 4 hours and {LONGEST_DAYS} days")
    return asked


def begin(secret: Secret, now: float) -> None:
    """Set a secret's clock."""
    secret[LAST] = now


def due(secrets: Iterable[Secret], now: float) -> Iterator[Secret]:
    """Yield the secrets whose time has come, their clocks set anew."""
    for each in secrets:
        every = seconds(each.get("RotationRules"))
        if not each.get("RotationEnabled") or each.get("DeletedDate") or every is None:
            continue
        if now - each.setdefault(LAST, now) >= every:
            begin(each, now)
            yield each


def create(_logical_id: str, properties: Mapping[str, Any], _stack: str) -> tuple[str, dict[str, Any]]:
    """Set what CloudFormation asks for, as RotateSecret does."""
    asked = {
        "SecretId": properties["SecretId"],
        "RotationLambdaARN": properties.get("RotationLambdaARN"),
        "RotationRules": _numbers(properties.get("RotationRules") or {}),
        "RotateImmediately": properties.get("RotateImmediatelyOnUpdate", True),
    }
    status, _, body = use(SECRETS, "_rotate_secret", checked=False)(asked)
    document = json.loads(body)
    if status >= 400:
        raise Refused(str(document.get("message") or document.get("Message")))
    return str(document["ARN"]), {}


def update(
    physical_id: str, _old: object, new: Mapping[str, Any], stack: str, logical_id: str = ""
) -> tuple[str, dict[str, Any]]:
    """Set it anew."""
    return create(logical_id, new, stack)


def delete(physical_id: str, _properties: object) -> None:
    """Rotate by the clock no more."""
    _, secret = use(SECRETS, "_resolve", checked=False)(physical_id)
    if secret:
        secret |= {"RotationEnabled": False, "RotationRules": None}
        state.changed("secretsmanager")


def _numbers(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return *rules* with numbers where CloudFormation passes text."""
    days = "AutomaticallyAfterDays"
    return {**rules, **({days: int(rules[days])} if days in rules else {})}
