"""What AWS refuses before it makes a resource, and ministack does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.context import Refused
from atelier.cloud.gateway.hooks import encryption, policies, rules, scheduler
from atelier.cloud.gateway.hooks.private import use
from atelier.cloud.gateway.hooks.templates import distributions
from atelier.cloud.gateway.hooks.templates.completed import is_true
from atelier.cloud.gateway.settings import REGION

Properties = Mapping[str, Any]
Before = Callable[[Properties], None]


def used() -> None:
    """Check at start what this module calls later."""
    distributions.used()
    use("services.s3", "_buckets", checked=False)
    use("services.s3", "_bucket_has_versions", "name")
    use("services.dynamodb", "_tables", checked=False)
    use("services.eventbridge", "_validate_target_arn", "target")
    use("services.eventbridge", "_event_pattern_error", "pattern_str")


def _trusted(role: Any, service: str, named: str) -> None:
    if not role or not policies.role_exists(str(role)):
        raise Refused(f"The role {role}, which {named} should run as, does not exist")
    if not policies.trusts(str(role), service, REGION):
        raise Refused(f"The role {role} cannot be assumed by {service}: its trust policy does not name it")


def function(properties: Properties) -> None:
    """Refuse a function that could not run here or on AWS."""
    _present("AWS::Lambda::Function", properties, "Code", "Role", "Handler", "Runtime")
    if properties.get("PackageType", "Zip") != "Zip" or "ImageUri" in properties["Code"]:
        raise Refused("Unsupported: AWS::Lambda::Function.PackageType Image is not part of the local cloud")
    if not str(properties["Runtime"]).startswith("python3."):
        raise Refused(f"Unsupported: the runtime {properties['Runtime']} is not part of the local cloud")
    _trusted(properties["Role"], "lambda.amazonaws.com", "the function")


def stage(properties: Properties) -> None:
    """Refuse traces: there is no X-Ray here."""
    if is_true(properties.get("TracingEnabled", False)):
        raise Refused("Unsupported: AWS::ApiGateway::Stage.TracingEnabled is not part of the local cloud")


def state_machine(properties: Properties) -> None:
    """Refuse a state machine whose role Step Functions may not assume."""
    _present("AWS::StepFunctions::StateMachine", properties, "RoleArn")
    _trusted(properties["RoleArn"], "states.amazonaws.com", "the state machine")


def secret(properties: Properties) -> None:
    """Refuse a secret under a key that is not there."""
    if key := properties.get("KmsKeyId"):
        encryption.existing(str(key))


def rule(properties: Properties) -> None:
    """Refuse targets that are not part of the local cloud, and patterns that match nothing by mistake."""
    pattern = properties.get("EventPattern")
    if pattern is not None:
        text = pattern if isinstance(pattern, str) else json.dumps(pattern)
        if reason := use("services.eventbridge", "_event_pattern_error", checked=False)(text):
            raise Refused(f"Event pattern is not valid. Reason: {reason}")
    for target in properties.get("Targets") or ():
        if unknown := sorted(target.keys() - rules.TARGET_PROPERTIES):
            raise Refused(
                f"Unsupported: AWS::Events::Rule.Targets.{unknown[0]} is not part of the local cloud"
            )
        refused = use("services.eventbridge", "_validate_target_arn", checked=False)(target)
        if refused:
            raise Refused(json.loads(refused[2])["message"])


def schedule(properties: Properties) -> None:
    """Refuse a schedule that would never come due, or not as it says."""
    _present("AWS::Scheduler::Schedule", properties, "ScheduleExpression", "FlexibleTimeWindow", "Target")
    _present("AWS::Scheduler::Schedule.Target", properties["Target"], "Arn", "RoleArn")
    if refused := scheduler.refusal(properties):
        raise Refused(refused)
    _trusted(properties["Target"]["RoleArn"], "scheduler.amazonaws.com", "the schedule's target")


def event_source(properties: Properties) -> None:
    """Refuse a mapping without its two ends."""
    _present("AWS::Lambda::EventSourceMapping", properties, "EventSourceArn", "FunctionName")


def _present(kind: str, properties: Properties, *names: str) -> None:
    if missing := [name for name in names if not properties.get(name)]:
        raise Refused(f"{kind} needs {', '.join(missing)}")


def keep_full_bucket(name: str, _properties: Properties) -> None:
    """Refuse to delete a bucket with objects in it, or with versions of any."""
    bucket = use("services.s3", "_buckets", checked=False).get(name) or {}
    if bucket.get("objects") or use("services.s3", "_bucket_has_versions", checked=False)(name):
        raise Refused("The bucket you tried to delete is not empty (Service: S3, Status Code: 409)")


def keep_protected_table(name: str, _properties: Properties) -> None:
    """Refuse to delete a table with deletion protection."""
    table = use("services.dynamodb", "_tables", checked=False).get(name) or {}
    if str(table.get("DeletionProtectionEnabled", False)).lower() == "true":
        raise Refused(
            f"Resource cannot be deleted as it is currently protected against deletion: {name}."
            " Disable deletion protection first."
        )


BEFORE: Mapping[str, Before] = {
    **distributions.BEFORE,
    "AWS::ApiGateway::Stage": stage,
    "AWS::Events::Rule": rule,
    "AWS::Lambda::EventSourceMapping": event_source,
    "AWS::Lambda::Function": function,
    "AWS::Scheduler::Schedule": schedule,
    "AWS::SecretsManager::Secret": secret,
    "AWS::StepFunctions::StateMachine": state_machine,
}
BEFORE_DELETE: Mapping[str, Callable[[str, Properties], None]] = {
    "AWS::DynamoDB::Table": keep_protected_table,
    "AWS::S3::Bucket": keep_full_bucket,
}
