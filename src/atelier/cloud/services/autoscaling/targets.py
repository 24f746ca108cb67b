"""Scalable targets: which variants are scaled, and between which bounds."""

from __future__ import annotations

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.autoscaling.policies import forget, of_target
from atelier.cloud.services.autoscaling.service import (
    DIMENSION,
    PLACE,
    SERVICE,
    check_place,
    invalid,
    missing,
    now,
    on_target,
    page,
    target_arn,
    targets,
    variant,
)
from atelier.cloud.services.sagemaker import scaling
from atelier.cloud.services.wire import Document, everything
from atelier.cloud.store import Record

ROLE = (
    "arn:aws:iam::{}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com"
    "/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
MEMBERS = {*PLACE, "MinCapacity", "MaxCapacity", "RoleARN", "SuspendedState"}


@SERVICE.operation("RegisterScalableTarget", on=on_target)
def register(cloud: Cloud, request: Document) -> Document:
    """Let a variant be scaled, or change its bounds."""
    check_place(request)
    if unknown := sorted(request.keys() - MEMBERS):
        raise Refused(f"Unsupported: RegisterScalableTarget.{unknown[0]} is not part of the local cloud")
    resource = request["ResourceId"]
    _check_role(cloud, request)
    with targets(cloud).lock:
        record = targets(cloud).get(resource) or _new(cloud, resource)
        record |= {name: request[name] for name in ("MinCapacity", "MaxCapacity") if name in request}
        record["SuspendedState"] |= request.get("SuspendedState", {})
        _check(cloud, record)
        targets(cloud).put(resource, record)
    return {"ScalableTargetARN": record["ScalableTargetARN"]}


@SERVICE.operation("DescribeScalableTargets", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List scalable targets."""
    check_place(request)
    wanted = request.get("ResourceIds")
    rows = [row for name, row in targets(cloud).items() if wanted is None or name in wanted]
    shown, token = page(rows, request)
    return {"ScalableTargets": shown, "NextToken": token}


@SERVICE.operation("DeregisterScalableTarget", on=on_target)
def deregister(cloud: Cloud, request: Document) -> None:
    """Scale a variant no more; its policies go with its target."""
    check_place(request)
    if request["ResourceId"] not in targets(cloud):
        raise missing("scalable target found", request)
    remove(cloud, request["ResourceId"])


def remove(cloud: Cloud, resource: str) -> None:
    """Forget a target and its policies."""
    for policy in of_target(cloud, resource):
        forget(cloud, policy)
    targets(cloud).delete(resource)


def _new(cloud: Cloud, resource: str) -> Record:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": resource,
        "ScalableDimension": DIMENSION,
        "RoleARN": ROLE.format(cloud.account),
        "CreationTime": now(),
        "ScalableTargetARN": target_arn(cloud, resource),
        "SuspendedState": dict.fromkeys(
            (
                "DynamicScalingInSuspended",
                "DynamicScalingOutSuspended",
                "ScheduledScalingSuspended",
            ),
            False,
        ),
    }


def _check_role(cloud: Cloud, request: Document) -> None:
    """Refuse a role of one's own: SageMaker's variants are scaled by a service-linked one."""
    if request.get("RoleARN", ROLE.format(cloud.account)) != ROLE.format(cloud.account):
        raise Refused("Unsupported: RegisterScalableTarget.RoleARN is not part of the local cloud")


def _check(cloud: Cloud, record: Record) -> None:
    resource = record["ResourceId"]
    capacity = scaling.capacity(cloud, *variant(resource))
    if capacity is None:
        raise invalid(f"{resource} is not a variant of an endpoint that there is")
    for name in ("MinCapacity", "MaxCapacity"):
        if name not in record:
            raise invalid(f"{name} is required for a new scalable target")
    least, most = record["MinCapacity"], record["MaxCapacity"]
    if not 0 <= least <= most:
        raise invalid(f"Minimum capacity {least} must be between 0 and the maximum capacity, which is {most}")
    if least == 0 and not capacity.is_asynchronous:
        raise invalid(
            f"Minimum capacity of {resource} must be 1 or more: only asynchronous endpoints have none"
        )
