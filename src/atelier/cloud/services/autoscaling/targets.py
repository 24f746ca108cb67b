"""Scalable targets: which resources are scaled, and between which bounds."""

from __future__ import annotations

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.autoscaling.policies import forget, of_target
from atelier.cloud.services.autoscaling.scalables import Kind, check_place
from atelier.cloud.services.autoscaling.service import (
    PLACE,
    SERVICE,
    invalid,
    missing,
    now,
    on_target,
    page,
    target_arn,
    targets,
)
from atelier.cloud.services.wire import Document, everything
from atelier.cloud.store import Record

ROLE = "arn:aws:iam::{}:role/aws-service-role/{}"
MEMBERS = {*PLACE, "MinCapacity", "MaxCapacity", "RoleARN", "SuspendedState"}


@SERVICE.operation("RegisterScalableTarget", on=on_target)
def register(cloud: Cloud, request: Document) -> Document:
    """Let a resource be scaled, or change its bounds."""
    kind = check_place(request)
    if unknown := sorted(request.keys() - MEMBERS):
        raise Refused(f"Unsupported: RegisterScalableTarget.{unknown[0]} is not part of the local cloud")
    resource = request["ResourceId"]
    role = ROLE.format(cloud.account, kind.role)
    if request.get("RoleARN", role) != role:
        raise Refused("Unsupported: RegisterScalableTarget.RoleARN is not part of the local cloud")
    with targets(cloud).lock:
        record = targets(cloud).get(resource) or {**_new(cloud, kind, resource), "RoleARN": role}
        record |= {name: request[name] for name in ("MinCapacity", "MaxCapacity") if name in request}
        record["SuspendedState"] |= request.get("SuspendedState", {})
        _check(cloud, kind, record)
        targets(cloud).put(resource, record)
    return {"ScalableTargetARN": record["ScalableTargetARN"]}


@SERVICE.operation("DescribeScalableTargets", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List scalable targets."""
    check_place(request)
    wanted = request.get("ResourceIds")
    rows = [
        row
        for name, row in targets(cloud).items()
        if row["ServiceNamespace"] == request["ServiceNamespace"] and (wanted is None or name in wanted)
    ]
    shown, token = page(rows, request)
    return {"ScalableTargets": shown, "NextToken": token}


@SERVICE.operation("DeregisterScalableTarget", on=on_target)
def deregister(cloud: Cloud, request: Document) -> None:
    """Scale a resource no more; its policies go with its target."""
    check_place(request)
    if request["ResourceId"] not in targets(cloud):
        raise missing("scalable target found", request)
    remove(cloud, request["ResourceId"])


def remove(cloud: Cloud, resource: str) -> None:
    """Forget a target and its policies."""
    for policy in of_target(cloud, resource):
        forget(cloud, policy)
    targets(cloud).delete(resource)


def _new(cloud: Cloud, kind: Kind, resource: str) -> Record:
    return {
        "ServiceNamespace": kind.namespace,
        "ResourceId": resource,
        "ScalableDimension": kind.dimension,
        "CreationTime": now(),
        "ScalableTargetARN": target_arn(cloud, kind.dimension, resource),
        "SuspendedState": dict.fromkeys(
            (
                "DynamicScalingInSuspended",
                "DynamicScalingOutSuspended",
                "ScheduledScalingSuspended",
            ),
            False,
        ),
    }


def _check(cloud: Cloud, kind: Kind, record: Record) -> None:
    resource = record["ResourceId"]
    capacity = kind.capacity(cloud, resource)
    if capacity is None:
        raise invalid(f"there is no {resource} that could be scaled")
    for name in ("MinCapacity", "MaxCapacity"):
        if name not in record:
            raise invalid(f"{name} is required for a new scalable target")
    least, most = record["MinCapacity"], record["MaxCapacity"]
    if not 0 <= least <= most:
        raise invalid(f"Minimum capacity {least} must be between 0 and the maximum capacity, which is {most}")
    if least < capacity.least:
        raise invalid(
            f"Minimum capacity of {resource} must be 1 or more: only asynchronous endpoints have none"
        )
