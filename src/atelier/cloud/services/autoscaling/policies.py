"""Scaling policies, and the alarms that belong to target tracking."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.autoscaling import steps, tracking
from atelier.cloud.services.autoscaling.scalables import check_metric, check_place
from atelier.cloud.services.autoscaling.service import (
    PLACE,
    SERVICE,
    invalid,
    missing,
    now,
    on_target,
    page,
    policies,
    targets,
)
from atelier.cloud.services.wire import Document, everything
from atelier.cloud.store import Record

STEPS = "StepScalingPolicyConfiguration"
TRACKING = "TargetTrackingScalingPolicyConfiguration"
CONFIGURATION = {"StepScaling": STEPS, "TargetTrackingScaling": TRACKING}
CHECKS = {"StepScaling": steps.check, "TargetTrackingScaling": tracking.check}


@SERVICE.operation("PutScalingPolicy", on=on_target)
def put(cloud: Cloud, request: Document) -> Document:
    """Make or change a policy."""
    check_place(request)
    kind = request.get("PolicyType", "StepScaling")
    _check(kind, request)
    if request["ResourceId"] not in targets(cloud):
        raise missing("scalable target registered", request)
    with policies(cloud).lock:
        record = _found(cloud, request) or _new(cloud, request)
        if record.setdefault("PolicyType", kind) != kind:
            raise invalid(f"The policy type of {record['PolicyName']} cannot be changed")
        record[CONFIGURATION[kind]] = request[CONFIGURATION[kind]]
        policies(cloud).put(record["PolicyARN"], record)
    raise_alarms(cloud, record)
    return {"PolicyARN": record["PolicyARN"], "Alarms": _alarms(cloud, record["PolicyARN"])}


@SERVICE.operation("DescribeScalingPolicies", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List policies with their alarms."""
    check_place(request)
    names, resource = request.get("PolicyNames"), request.get("ResourceId")
    rows = [
        row
        for _, row in policies(cloud).items()
        if row["ServiceNamespace"] == request["ServiceNamespace"]
        and resource in (None, row["ResourceId"])
        and (names is None or row["PolicyName"] in names)
    ]
    shown, token = page(rows, request)
    return {"ScalingPolicies": [_shown(cloud, each) for each in shown], "NextToken": token}


@SERVICE.operation("DeleteScalingPolicy", on=on_target)
def delete(cloud: Cloud, request: Document) -> None:
    """Forget a policy, and the alarms that were made for it."""
    check_place(request)
    record = _found(cloud, request)
    if record is None:
        raise missing(f"scaling policy {request['PolicyName']} found", request)
    forget(cloud, record)


def of_target(cloud: Cloud, resource: str) -> list[Record]:
    """Return the policies of a scalable target."""
    return [each for _, each in policies(cloud).items() if each["ResourceId"] == resource]


def forget(cloud: Cloud, policy: Record) -> None:
    """Forget a policy and its own alarms."""
    policies(cloud).delete(policy["PolicyARN"])
    if policy["PolicyType"] == "TargetTrackingScaling":
        for name in tracking.names(policy):
            cloud.metrics.delete_alarm(name)


def raise_alarms(cloud: Cloud, policy: Record) -> None:
    """See that the alarms of a target tracking policy are there, and as it says."""
    if policy["PolicyType"] != "TargetTrackingScaling":
        return
    wanted = tracking.alarms(cloud, policy)
    for alarm in wanted:
        cloud.metrics.put_alarm(alarm)
    for name in set(tracking.names(policy)) - {each["AlarmName"] for each in wanted}:
        cloud.metrics.delete_alarm(name)


def _check(kind: str, request: Document) -> None:
    if kind not in CONFIGURATION:
        raise Refused(f"Unsupported: scaling policies of type {kind} are not part of the local cloud")
    known = {*PLACE, "PolicyName", "PolicyType", CONFIGURATION[kind]}
    if unknown := sorted(request.keys() - known):
        raise invalid(f"PutScalingPolicy: {unknown[0]} is not for a policy of type {kind}")
    if CONFIGURATION[kind] not in request:
        raise invalid(f"PutScalingPolicy: {CONFIGURATION[kind]} is required for a policy of type {kind}")
    CHECKS[kind](request[CONFIGURATION[kind]])
    if predefined := request[CONFIGURATION[kind]].get("PredefinedMetricSpecification"):
        check_metric(request, predefined)


def _found(cloud: Cloud, request: Document) -> Record | None:
    """Return the policy of a name; names are a target's own."""
    mine = of_target(cloud, request["ResourceId"])
    return next((each for each in mine if each["PolicyName"] == request["PolicyName"]), None)


def _new(cloud: Cloud, request: Document) -> Record:
    name, resource = request["PolicyName"], request["ResourceId"]
    place = f"scalingPolicy:{uuid.uuid4()}:resource/{request['ServiceNamespace']}/{resource}"
    return {
        "PolicyARN": cloud.arn("autoscaling", f"{place}:policyName/{name}"),
        "PolicyName": name,
        **{each: request[each] for each in PLACE},
        "CreationTime": now(),
    }


def _alarms(cloud: Cloud, policy_arn: str) -> list[dict[str, Any]]:
    pointing: list[Mapping[str, Any]] = [
        each for each in cloud.metrics.alarms() if policy_arn in each.get("AlarmActions", ())
    ]
    return [{"AlarmName": each["AlarmName"], "AlarmARN": each["AlarmArn"]} for each in pointing]


def _shown(cloud: Cloud, policy: Record) -> Record:
    shown = {key: value for key, value in policy.items() if key != "moves"}
    return {**shown, "Alarms": _alarms(cloud, policy["PolicyARN"])}
