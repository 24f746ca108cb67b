"""SageMaker's CloudFormation types."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.resources import Made, Request, ResourceType, from_cloudformation
from atelier.cloud.services.sagemaker import live
from atelier.cloud.services.sagemaker.service import SERVICE, configs, endpoints, models
from atelier.cloud.services.wire import Document, ServiceError

POLL = 0.2
TRANSIENT = frozenset({"Creating", "Updating", "RollingBack", "SystemUpdating", "Deleting"})
MODEL_PROPERTIES = frozenset({"ModelName", "PrimaryContainer", "ExecutionRoleArn", "Tags"})
CONFIG_PROPERTIES = frozenset({"EndpointConfigName", "ProductionVariants", "Tags"})
ENDPOINT_PROPERTIES = frozenset({"EndpointName", "EndpointConfigName", "Tags"})


def _input(operation: str, request: Request, name_member: str) -> Document:
    """Return the API's request: names in place of what Ref gives, a name where there is none."""
    shape = SERVICE.shapes.operation_model(operation).input_shape
    if shape is None:
        raise Refused(f"{operation} takes no input")
    document: Document = from_cloudformation(request.properties, shape, request.logical_id)
    document.setdefault(name_member, request.name[:63].rstrip("-"))
    if name_member != "EndpointConfigName" and "EndpointConfigName" in document:
        document["EndpointConfigName"] = last(document["EndpointConfigName"])
    for variant in document.get("ProductionVariants", []):
        if "ModelName" in variant:
            variant["ModelName"] = last(variant["ModelName"])
    return document


def last(reference: str) -> str:
    """Return the name behind a name or an ARN: templates pass either."""
    return reference.rpartition("/")[2]


def _create_model(cloud: Cloud, request: Request) -> Made:
    document = _input("CreateModel", request, "ModelName")
    made = _call(cloud, "CreateModel", document)
    return Made(ref=made["ModelArn"], attributes={"ModelName": document["ModelName"]})


def _create_config(cloud: Cloud, request: Request) -> Made:
    document = _input("CreateEndpointConfig", request, "EndpointConfigName")
    made = _call(cloud, "CreateEndpointConfig", document)
    name = document["EndpointConfigName"]
    return Made(ref=made["EndpointConfigArn"], attributes={"EndpointConfigName": name})


def _create_endpoint(cloud: Cloud, request: Request) -> Made:
    document = _input("CreateEndpoint", request, "EndpointName")
    made = _call(cloud, "CreateEndpoint", document)
    _await(cloud, document["EndpointName"])
    return Made(ref=made["EndpointArn"], attributes={"EndpointName": document["EndpointName"]})


def _update_endpoint(cloud: Cloud, reference: str, request: Request) -> Made:
    document = _input("UpdateEndpoint", request, "EndpointName")
    name = last(reference)
    if request.properties.get("EndpointName", name) != name:
        return _create_endpoint(cloud, request)
    if (endpoints(cloud).get(name) or {}).get("EndpointConfigName") != document["EndpointConfigName"]:
        parts = {"EndpointName": name, "EndpointConfigName": document["EndpointConfigName"]}
        _call(cloud, "UpdateEndpoint", parts)
        _await(cloud, name)
    return Made(ref=reference, attributes={"EndpointName": name})


def _replace(create: Callable[[Cloud, Request], Made]) -> Callable[[Cloud, str, Request], Made]:
    """Models and configurations never change: an update makes another one, under a name of its own."""

    def update(cloud: Cloud, _reference: str, request: Request) -> Made:
        return create(cloud, request)

    return update


def _delete_model(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    if last(reference) in models(cloud):
        _call(cloud, "DeleteModel", {"ModelName": last(reference)})


def _delete_config(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    if last(reference) in configs(cloud):
        _call(cloud, "DeleteEndpointConfig", {"EndpointConfigName": last(reference)})


def _delete_endpoint(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    name = last(reference)
    if name in endpoints(cloud):
        _settle(cloud, name)
        _call(cloud, "DeleteEndpoint", {"EndpointName": name})
        _settle(cloud, name)


def _await(cloud: Cloud, name: str) -> None:
    """Wait until the endpoint has settled; raise its reason when the deployment failed."""
    _settle(cloud, name)
    record = endpoints(cloud).get(name) or {}
    if record.get("EndpointStatus") != "InService" or record.get("FailureReason"):
        raise Refused(f"endpoint {name}: {record.get('FailureReason', 'it was deleted meanwhile')}")


def _settle(cloud: Cloud, name: str) -> None:
    waiting = threading.Event()
    while (endpoints(cloud).get(name) or {}).get("EndpointStatus") in TRANSIENT:
        if live.of(cloud).ending.is_set():
            raise Refused(f"the local cloud went down while endpoint {name} was changing")
        waiting.wait(POLL)


def _call(cloud: Cloud, operation: str, document: Document) -> Document:
    try:
        return SERVICE.call(cloud, operation, document)
    except ServiceError as error:
        raise Refused(f"{operation}: {error}") from error


RESOURCES = (
    ResourceType(
        type="AWS::SageMaker::Model",
        properties=MODEL_PROPERTIES,
        create=_create_model,
        update=_replace(_create_model),
        delete=_delete_model,
    ),
    ResourceType(
        type="AWS::SageMaker::EndpointConfig",
        properties=CONFIG_PROPERTIES,
        create=_create_config,
        update=_replace(_create_config),
        delete=_delete_config,
    ),
    ResourceType(
        type="AWS::SageMaker::Endpoint",
        properties=ENDPOINT_PROPERTIES,
        create=_create_endpoint,
        update=_update_endpoint,
        delete=_delete_endpoint,
    ),
)
