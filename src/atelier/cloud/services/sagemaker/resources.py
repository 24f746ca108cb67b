"""SageMaker's CloudFormation types."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.resources import Made, Request, ResourceType, from_cloudformation
from atelier.cloud.services.sagemaker import live
from atelier.cloud.services.sagemaker.service import SERVICE, configs, endpoints, models
from atelier.cloud.services.wire import Document, ServiceError

Update = Callable[[Cloud, str, Request], Made]

POLL = 0.2
NAME_LIMIT = 63
TRANSIENT = frozenset({"Creating", "Updating", "RollingBack", "SystemUpdating", "Deleting"})
MODEL_PROPERTIES = frozenset(
    {"ModelName", "PrimaryContainer", "ExecutionRoleArn", "EnableNetworkIsolation", "Tags"}
)
CONFIG_PROPERTIES = frozenset({"EndpointConfigName", "ProductionVariants", "AsyncInferenceConfig", "Tags"})
ENDPOINT_PROPERTIES = frozenset({"EndpointName", "EndpointConfigName", "Tags"})


def _input(operation: str, request: Request, name_member: str) -> Document:
    """Return the API's request: names in place of what Ref gives, a name where there is none."""
    shape = SERVICE.shapes.operation_model(operation).input_shape
    if shape is None:
        raise Refused(f"{operation} takes no input")
    document: Document = from_cloudformation(request.properties, shape, request.logical_id)
    document.setdefault(name_member, generated(request))
    if name_member != "EndpointConfigName" and "EndpointConfigName" in document:
        document["EndpointConfigName"] = last(document["EndpointConfigName"])
    for variant in document.get("ProductionVariants", []):
        if "ModelName" in variant:
            variant["ModelName"] = last(variant["ModelName"])
    return document


def generated(request: Request) -> str:
    """Return a name for a resource without one: other content, another name, so that both can exist."""
    content = json.dumps(request.properties, sort_keys=True, default=str)
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    return f"{request.name[: NAME_LIMIT - 9].rstrip('-')}-{digest}"


def last(reference: str) -> str:
    """Return the name behind a name or an ARN: templates pass either."""
    return reference.rpartition("/")[2]


def _create_model(cloud: Cloud, request: Request) -> Made:
    document = _input("CreateModel", request, "ModelName")
    made = call(cloud, "CreateModel", document)
    return Made(ref=made["ModelArn"], attributes={"ModelName": document["ModelName"]})


def _create_config(cloud: Cloud, request: Request) -> Made:
    document = _input("CreateEndpointConfig", request, "EndpointConfigName")
    made = call(cloud, "CreateEndpointConfig", document)
    name = document["EndpointConfigName"]
    return Made(ref=made["EndpointConfigArn"], attributes={"EndpointConfigName": name})


def _create_endpoint(cloud: Cloud, request: Request) -> Made:
    named = {"EndpointName": request.name.rstrip("-"), **request.properties}
    document = _input("CreateEndpoint", replace(request, properties=named), "EndpointName")
    made = call(cloud, "CreateEndpoint", document)
    try:
        _await(cloud, document["EndpointName"])
    except Refused:  # CloudFormation knows no resource yet that it could take back
        _delete_endpoint(cloud, made["EndpointArn"], {})
        raise
    return Made(ref=made["EndpointArn"], attributes={"EndpointName": document["EndpointName"]})


def _update_endpoint(cloud: Cloud, reference: str, request: Request) -> Made:
    document = _input("UpdateEndpoint", request, "EndpointName")
    name = last(reference)
    if request.properties.get("EndpointName", name) != name:
        return _create_endpoint(cloud, request)
    if (endpoints(cloud).get(name) or {}).get("EndpointConfigName") != document["EndpointConfigName"]:
        parts = {"EndpointName": name, "EndpointConfigName": document["EndpointConfigName"]}
        call(cloud, "UpdateEndpoint", parts)
        _await(cloud, name)
    return Made(ref=reference, attributes={"EndpointName": name})


def _replacing(create: Callable[[Cloud, Request], Made], name_member: str) -> Update:
    """Models and configurations never change: an update makes another one, under a name of its own."""

    def update(cloud: Cloud, reference: str, request: Request) -> Made:
        if request.properties.get(name_member) == last(reference):
            raise Refused(
                f"CloudFormation cannot update {request.logical_id} in place, and it has a custom name:"
                f" rename {last(reference)} and update the stack again"
            )
        if generated(request) == last(reference):
            return Made(ref=reference, attributes={name_member: last(reference)})
        return create(cloud, request)

    return update


def _delete_model(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    if last(reference) in models(cloud):
        call(cloud, "DeleteModel", {"ModelName": last(reference)})


def _delete_config(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    if last(reference) in configs(cloud):
        call(cloud, "DeleteEndpointConfig", {"EndpointConfigName": last(reference)})


def _delete_endpoint(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    name = last(reference)
    if name in endpoints(cloud):
        _settle(cloud, name)
        call(cloud, "DeleteEndpoint", {"EndpointName": name})
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


def call(cloud: Cloud, operation: str, document: Document) -> Document:
    """Call an operation as the stack's owner; what it refuses is the resource's failure."""
    try:
        return SERVICE.call(cloud, operation, document)
    except ServiceError as error:
        raise Refused(f"{operation}: {error}") from error


RESOURCES = (
    ResourceType(
        type="AWS::SageMaker::Model",
        properties=MODEL_PROPERTIES,
        create=_create_model,
        update=_replacing(_create_model, "ModelName"),
        delete=_delete_model,
    ),
    ResourceType(
        type="AWS::SageMaker::EndpointConfig",
        properties=CONFIG_PROPERTIES,
        create=_create_config,
        update=_replacing(_create_config, "EndpointConfigName"),
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
