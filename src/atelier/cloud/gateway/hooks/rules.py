"""EventBridge targets: what a rule may reach, dead letters, and targets of our services."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.gateway.hooks import policies
from atelier.cloud.gateway.hooks.private import replace, use

EVENTS = "services.eventbridge"
Deliver = Callable[[str, Any, Any, Callable[[str], None]], None]
"""(target ARN, the target as configured, the event, what to call when it could not be delivered)"""

# How ministack's own targets are reached: by the target's policy, or by the role that the rule gives.
BY_POLICY = {"lambda": "lambda:InvokeFunction", "sqs": "sqs:SendMessage", "sns": "sns:Publish"}
BY_ROLE = {"states": "states:StartExecution", "events": "events:PutEvents"}

# What a target may say: everything here is acted on.
TARGET_PROPERTIES = frozenset(
    {"Arn", "Id", "RoleArn", "Input", "InputPath", "InputTransformer", "DeadLetterConfig", "RetryPolicy"}
    | {"SqsParameters"}
)

logger = logging.getLogger("atelier.cloud.events")


def install(region: str, targets: Mapping[str, tuple[str, Deliver]]) -> None:
    """Check each delivery; *targets* are services of ours with the action a rule's role needs."""
    replace(
        EVENTS,
        "_invoke_target",
        *("target", "event", "rule", "view"),
        by=lambda original: _checked(original, region, targets),
    )
    known = {*BY_POLICY, *BY_ROLE, *targets}
    replace(EVENTS, "_validate_target_arn", "target", by=lambda original: _only(original, known))


def _only(original: Callable[[Any], Any], known: set[str]) -> Callable[[Any], Any]:
    error = use(
        "core.responses",
        "error_response_json",
        *("code", "message", "status", "extra", "message_key", "content_type"),
    )

    def validate(target: Any) -> Any:
        refused = original(target)
        service = target.get("Arn", "").split(":")[2:3]
        if refused is None and service and service[0] not in known:
            message = f"EventBridge targets of {service[0]} are not part of the local cloud"
            return error("ValidationException", message, 400)
        return refused

    return validate


def _checked(original: Callable[..., None], region: str, targets: Mapping[str, tuple[str, Deliver]]) -> Any:
    as_delivered = use(EVENTS, "_pattern_event_view", "event")

    def invoke(target: Any, event: Any, rule: Any, view: Any = None) -> None:
        arn, source = target.get("Arn", ""), rule.get("Arn", "")
        service = arn.split(":")[2] if arn.count(":") >= 5 else ""
        seen = view or as_delivered(event)

        def lost(why: str) -> None:
            logger.warning("an event of %s did not reach %s: %s", source, arn, why)
            _dead_letter(target, seen.event_with_detail(), source, why)

        if refused := _refusal(service, arn, source, target, region, targets):
            lost(refused)
        elif service in targets:
            targets[service][1](arn, target, seen.event_with_detail(), lost)
        else:
            original(target, event, rule, view)

    return invoke


def _refusal(
    service: str, arn: str, source: str, target: Any, region: str, targets: Mapping[str, tuple[str, Deliver]]
) -> str | None:
    """Return why the rule (or schedule) may not reach the target, or None."""
    scheduled = ":scheduler:" in source
    principal = "scheduler.amazonaws.com" if scheduled else "events.amazonaws.com"
    by_role = {**BY_ROLE, **{name: action for name, (action, _) in targets.items()}}
    if scheduled or target.get("RoleArn"):
        by_role = {**BY_POLICY, **by_role}
    if service in by_role:
        return _by_role(target.get("RoleArn"), by_role[service], arn, principal, region)
    if service in BY_POLICY:
        if policies.allows_service(principal, BY_POLICY[service], arn, region, source):
            return None
        return f"its policy does not let {principal} do {BY_POLICY[service]}"
    return f"targets of {service or 'this kind'} are not part of the local cloud"


def _by_role(role: str | None, action: str, arn: str, principal: str, region: str) -> str | None:
    if not role:
        return "the target names no role"
    if not policies.trusts(role, principal, region):
        return f"{principal} may not assume {role}"
    if not policies.allows_role(role, action, arn, region):
        return f"{role} is not allowed {action} on it"
    return None


def _dead_letter(target: Any, event: Any, source: str, why: str) -> None:
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not queue:
        return
    if not policies.allows_service(
        "events.amazonaws.com", "sqs:SendMessage", queue, queue.split(":")[3], source
    ):
        logger.warning(
            "the policy of the dead-letter queue %s does not let the rule %s send to it", queue, source
        )
        return
    send = use(EVENTS, "_dispatch_to_sqs", "spec", "payload", "sqs_parameters")
    parse = use("core.arn", "parse_arn", "value")
    logger.info("sent to the dead-letter queue %s of %s: %s", queue, source, why)
    send(parse(queue), json.dumps(event))
