"""AWS::ECR::Repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.model import StructureShape

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecr import lifecycle
from atelier.cloud.services.ecr.service import SERVICE, repositories
from atelier.cloud.services.resources import Made, Request, ResourceType, from_cloudformation
from atelier.cloud.services.wire import Document, ServiceError, accept

TYPE = "AWS::ECR::Repository"

API_PROPERTIES = frozenset(
    {"RepositoryName", "ImageTagMutability", "ImageScanningConfiguration", "EncryptionConfiguration", "Tags"}
)


def _call(cloud: Cloud, name: str, request: Document) -> Document:
    """Run an operation as CloudFormation, which has authorised its caller for the resource."""
    shape = SERVICE.shapes.operation_model(name).input_shape
    return SERVICE.operations[name].handler(cloud, accept(request, shape)) or {}


def _request(properties: Mapping[str, Any], name: str) -> Document:
    shape = SERVICE.shapes.operation_model("CreateRepository").input_shape
    assert isinstance(shape, StructureShape)
    given = {key: value for key, value in properties.items() if key in API_PROPERTIES}
    return {"repositoryName": name, **from_cloudformation(given, shape, TYPE)}


def _policy(properties: Mapping[str, Any]) -> str | None:
    policy = properties.get("LifecyclePolicy") or {}
    if set(policy) - {"LifecyclePolicyText"}:
        raise ServiceError("ValidationException", f"{TYPE}.LifecyclePolicy holds LifecyclePolicyText only")
    text = policy.get("LifecyclePolicyText")
    if text is not None:
        lifecycle.rules(text)
    return text


def _made(cloud: Cloud, name: str) -> Made:
    record = _call(cloud, "DescribeRepositories", {"repositoryNames": [name]})["repositories"][0]
    return Made(
        ref=name, attributes={"Arn": record["repositoryArn"], "RepositoryUri": record["repositoryUri"]}
    )


def create(cloud: Cloud, request: Request) -> Made:
    """Make the repository; its policy is checked first, so that a bad one leaves nothing behind."""
    text = _policy(request.properties)
    made = _request(request.properties, request.name.lower())
    _call(cloud, "CreateRepository", made)
    if text is not None:
        _call(
            cloud,
            "PutLifecyclePolicy",
            {"repositoryName": made["repositoryName"], "lifecyclePolicyText": text},
        )
    return _made(cloud, made["repositoryName"])


def update(cloud: Cloud, physical: str, request: Request) -> Made:
    """Change the repository in place; another name is another repository."""
    wanted = _request(request.properties, physical)
    if wanted["repositoryName"] != physical:
        return create(cloud, request)
    text = _policy(request.properties)
    named = {"repositoryName": physical}
    mutability = wanted.get("imageTagMutability", "MUTABLE")
    scanning = wanted.get("imageScanningConfiguration", {"scanOnPush": False})
    _call(cloud, "PutImageTagMutability", {**named, "imageTagMutability": mutability})
    _call(cloud, "PutImageScanningConfiguration", {**named, "imageScanningConfiguration": scanning})
    repositories(cloud).change(physical, tags=wanted.get("tags", []), lifecyclePolicyText=None)
    if text is not None:
        _call(cloud, "PutLifecyclePolicy", {**named, "lifecyclePolicyText": text})
    return _made(cloud, physical)


def delete(cloud: Cloud, physical: str, properties: Mapping[str, Any]) -> None:
    """Delete the repository; images in it keep it, unless EmptyOnDelete says otherwise."""
    force = str(properties.get("EmptyOnDelete", False)).lower() == "true"
    if physical in repositories(cloud):
        _call(cloud, "DeleteRepository", {"repositoryName": physical, "force": force})


REPOSITORY = ResourceType(
    type=TYPE,
    properties=API_PROPERTIES | {"LifecyclePolicy", "EmptyOnDelete"},
    create=create,
    update=update,
    delete=delete,
)
