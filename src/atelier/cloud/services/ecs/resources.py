"""ECS's CloudFormation types."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.ecs import live
from atelier.cloud.services.ecs.service import (
    SERVICE,
    clusters,
    definitions,
    last,
    services,
)
from atelier.cloud.services.resources import Made, Request, ResourceType, from_cloudformation
from atelier.cloud.services.wire import Document, ServiceError

POLL = 0.2

CLUSTER = frozenset(
    {"ClusterName", "ClusterSettings", "CapacityProviders", "DefaultCapacityProviderStrategy", "Tags"}
)
ASSOCIATIONS = frozenset({"Cluster", "CapacityProviders", "DefaultCapacityProviderStrategy"})
DEFINITION = frozenset(
    {
        *(
            "Family",
            "TaskRoleArn",
            "ExecutionRoleArn",
            "NetworkMode",
            "ContainerDefinitions",
            "Volumes",
            "Cpu",
        ),
        *("Memory", "RequiresCompatibilities", "RuntimePlatform", "Tags"),
    }
)
SERVICES = frozenset(
    {
        *("Cluster", "ServiceName", "TaskDefinition", "LoadBalancers", "DesiredCount", "LaunchType", "Tags"),
        *("CapacityProviderStrategy", "PlatformVersion", "DeploymentConfiguration", "NetworkConfiguration"),
        *(
            "HealthCheckGracePeriodSeconds",
            "SchedulingStrategy",
            "DeploymentController",
            "EnableECSManagedTags",
        ),
        *("PropagateTags", "AvailabilityZoneRebalancing"),
    }
)


def _input(operation: str, properties: Mapping[str, Any], where: str) -> Document:
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


def _create_cluster(cloud: Cloud, request: Request) -> Made:
    properties = dict(request.properties)
    settings = properties.pop("ClusterSettings", None)
    if settings is not None:
        properties["Settings"] = settings
    document = {"clusterName": request.name, **_input("CreateCluster", properties, request.logical_id)}
    made = _call(cloud, "CreateCluster", document)["cluster"]
    return Made(ref=made["clusterName"], attributes={"Arn": made["clusterArn"]})


def _update_cluster(cloud: Cloud, reference: str, request: Request) -> Made:
    if request.properties.get("ClusterName", reference) != reference:
        return _create_cluster(cloud, request)
    if settings := request.properties.get("ClusterSettings"):
        document = _input("UpdateCluster", {"Settings": settings}, request.logical_id)
        _call(cloud, "UpdateCluster", {"cluster": reference, **document})
    return Made(ref=reference, attributes={"Arn": (clusters(cloud).get(reference) or {})["clusterArn"]})


def _delete_cluster(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    if (clusters(cloud).get(reference) or {}).get("status") == "ACTIVE":
        _call(cloud, "DeleteCluster", {"cluster": reference})


def _associate(cloud: Cloud, request: Request) -> Made:
    document = _input("PutClusterCapacityProviders", request.properties, request.logical_id)
    _call(cloud, "PutClusterCapacityProviders", document)
    return Made(ref=document["cluster"])


def _associate_again(cloud: Cloud, _reference: str, request: Request) -> Made:
    return _associate(cloud, request)


def _dissociate(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    if (clusters(cloud).get(last(reference)) or {}).get("status") == "ACTIVE":
        nothing: Document = {"capacityProviders": [], "defaultCapacityProviderStrategy": []}
        _call(cloud, "PutClusterCapacityProviders", {"cluster": reference, **nothing})


def _register(cloud: Cloud, request: Request) -> Made:
    document = {
        "family": request.name,
        **_input("RegisterTaskDefinition", request.properties, request.logical_id),
    }
    arn = _call(cloud, "RegisterTaskDefinition", document)["taskDefinition"]["taskDefinitionArn"]
    return Made(ref=arn, attributes={"TaskDefinitionArn": arn})


def _register_again(cloud: Cloud, _reference: str, request: Request) -> Made:
    """Add a revision: the one before is another resource, which CloudFormation then retires."""
    return _register(cloud, request)


def _deregister(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    if last(reference) in definitions(cloud):
        _call(cloud, "DeregisterTaskDefinition", {"taskDefinition": reference})


def _create_service(cloud: Cloud, request: Request) -> Made:
    document = {
        "serviceName": request.name,
        **_input("CreateService", request.properties, request.logical_id),
    }
    made = _call(cloud, "CreateService", document)["service"]
    try:
        _await(cloud, made["serviceArn"])
    except Refused:  # CloudFormation knows no resource yet that it could take back
        _delete_service(cloud, made["serviceArn"], {})
        raise
    return _service_made(made)


def _update_service(cloud: Cloud, reference: str, request: Request) -> Made:
    cluster, name = reference.split("/")[-2:]
    document = _input("CreateService", request.properties, request.logical_id)
    is_same = document.get("serviceName", name) == name and last(document.get("cluster", cluster)) == cluster
    if not is_same:
        return _create_service(cloud, request)
    fixed = {"serviceName", "launchType", "schedulingStrategy", "deploymentController", "tags", "clientToken"}
    asked = {key: value for key, value in document.items() if key not in fixed}
    made = _call(cloud, "UpdateService", {**asked, "cluster": cluster, "service": name})["service"]
    _await(cloud, reference)
    return _service_made(made)


def _delete_service(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    cluster, name = reference.split("/")[-2:]
    if (services(cloud).get(f"{cluster}/{name}") or {}).get("status") == "ACTIVE":
        _call(cloud, "DeleteService", {"cluster": cluster, "service": name, "force": True})
    waiting = threading.Event()
    while (services(cloud).get(f"{cluster}/{name}") or {}).get("status") == "DRAINING":
        _check_up(cloud, name)
        waiting.wait(POLL)


def _service_made(made: Document) -> Made:
    arn = made["serviceArn"]
    return Made(ref=arn, attributes={"Name": made["serviceName"], "ServiceArn": arn})


def _await(cloud: Cloud, arn: str) -> None:
    """Wait until the service's deployment is complete; raise its reason when it failed."""
    cluster, name = arn.split("/")[-2:]
    waiting, deadline = threading.Event(), time.monotonic() + live.of(cloud).settings.stabilise_timeout
    record = services(cloud).get(f"{cluster}/{name}") or {}
    wanted = record["deployments"][0]["id"] if record else ""
    while record := services(cloud).get(f"{cluster}/{name}") or {}:
        first = record["deployments"][0]
        if first["id"] == wanted and first["rolloutState"] == "COMPLETED":
            return
        if first["id"] != wanted or first["rolloutState"] == "FAILED":
            said = next((each["message"] for each in record["events"]), "")
            raise Refused(
                f"Error occurred during operation 'ECS Deployment Circuit Breaker was triggered': {said}"
            )
        if time.monotonic() > deadline:
            said = next((each["message"] for each in record["events"]), "")
            raise Refused(f"Exceeded attempts to wait: service {name} did not stabilize: {said}")
        _check_up(cloud, name)
        waiting.wait(POLL)
    raise Refused(f"service {name} was deleted meanwhile")


def _check_up(cloud: Cloud, name: str) -> None:
    if live.of(cloud).ending.is_set():
        raise Refused(f"the local cloud went down while service {name} was changing")


RESOURCES = (
    ResourceType(
        type="AWS::ECS::Cluster",
        properties=CLUSTER,
        create=_create_cluster,
        update=_update_cluster,
        delete=_delete_cluster,
    ),
    ResourceType(
        type="AWS::ECS::ClusterCapacityProviderAssociations",
        properties=ASSOCIATIONS,
        create=_associate,
        update=_associate_again,
        delete=_dissociate,
    ),
    ResourceType(
        type="AWS::ECS::TaskDefinition",
        properties=DEFINITION,
        create=_register,
        update=_register_again,
        delete=_deregister,
    ),
    ResourceType(
        type="AWS::ECS::Service",
        properties=SERVICES,
        create=_create_service,
        update=_update_service,
        delete=_delete_service,
    ),
)
