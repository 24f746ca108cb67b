"""Application Auto Scaling's CloudFormation types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.autoscaling.service import SERVICE, policies, targets
from atelier.cloud.services.resources import Made, Request, ResourceType, from_cloudformation
from atelier.cloud.services.wire import Document, ServiceError

TARGET = frozenset(
    {
        *("MaxCapacity", "MinCapacity", "ResourceId", "RoleARN"),
        *("ScalableDimension", "ServiceNamespace", "SuspendedState"),
    }
)
POLICY = frozenset(
    {
        *(
            "PolicyName",
            "PolicyType",
            "ResourceId",
            "ScalableDimension",
            "ScalingTargetId",
            "ServiceNamespace",
        ),
        *("StepScalingPolicyConfiguration", "TargetTrackingScalingPolicyConfiguration"),
    }
)


def _place(reference: str) -> Document:
    """Return what a target's physical id says: resource, dimension and namespace."""
    resource, _, rest = reference.partition("|")
    dimension, _, namespace = rest.partition("|")
    return {
        "ResourceId": resource,
        "ScalableDimension": dimension,
        "ServiceNamespace": namespace,
    }


def _register(cloud: Cloud, request: Request) -> Made:
    document = _document("RegisterScalableTarget", request.properties, request.logical_id)
    _call(cloud, "RegisterScalableTarget", document)
    reference = "|".join(document[name] for name in ("ResourceId", "ScalableDimension", "ServiceNamespace"))
    return Made(ref=reference, attributes={"Id": reference})


def _register_again(cloud: Cloud, _reference: str, request: Request) -> Made:
    return _register(cloud, request)


def _deregister(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    place = _place(reference)
    if place["ResourceId"] in targets(cloud):
        _call(cloud, "DeregisterScalableTarget", place)


def _put(cloud: Cloud, request: Request) -> Made:
    properties = dict(request.properties)
    target = properties.pop("ScalingTargetId", None)
    place = _place(target) if target else {}
    document = {**_document("PutScalingPolicy", properties, request.logical_id), **place}
    made = _call(cloud, "PutScalingPolicy", document)
    return Made(ref=made["PolicyARN"], attributes={"Arn": made["PolicyARN"]})


def _put_again(cloud: Cloud, _reference: str, request: Request) -> Made:
    return _put(cloud, request)


def _delete(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    policy = policies(cloud).get(reference)
    if policy is not None:
        names = ("PolicyName", "ServiceNamespace", "ResourceId", "ScalableDimension")
        _call(cloud, "DeleteScalingPolicy", {name: policy[name] for name in names})


def _document(operation: str, properties: Mapping[str, Any], where: str) -> Document:
    shape = SERVICE.shapes.operation_model(operation).input_shape
    if shape is None:
        raise Refused(f"{operation} takes no input")
    document: Document = from_cloudformation(properties, shape, where)
    return document


def _call(cloud: Cloud, operation: str, document: Document) -> Document:
    try:
        return SERVICE.call(cloud, operation, document)
    except ServiceError as error:
        raise Refused(f"{operation}: {error}") from error


RESOURCES = (
    ResourceType(
        type="AWS::ApplicationAutoScaling::ScalableTarget",
        properties=TARGET,
        create=_register,
        update=_register_again,
        delete=_deregister,
    ),
    ResourceType(
        type="AWS::ApplicationAutoScaling::ScalingPolicy",
        properties=POLICY,
        create=_put,
        update=_put_again,
        delete=_delete,
    ),
)
