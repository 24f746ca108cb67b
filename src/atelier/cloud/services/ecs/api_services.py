"""Services: as many tasks of a definition as are wanted, rolled over to another when that is wanted."""

from __future__ import annotations

import re

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecs import balancing, definitions, deployments, events, live
from atelier.cloud.services.ecs.api_tasks import placed
from atelier.cloud.services.ecs.clusters import on_cluster
from atelier.cloud.services.ecs.service import (
    DEFAULT,
    SERVICE,
    cluster_arn,
    cluster_name,
    failure,
    find_cluster,
    invalid,
    last,
    now,
    only,
    page,
    service_arn,
    services,
    shown,
)
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
CREATE = frozenset(
    {
        *(
            "cluster",
            "serviceName",
            "taskDefinition",
            "loadBalancers",
            "desiredCount",
            "launchType",
            "clientToken",
        ),
        *("capacityProviderStrategy", "platformVersion", "deploymentConfiguration", "networkConfiguration"),
        *("healthCheckGracePeriodSeconds", "schedulingStrategy", "deploymentController", "tags"),
        *("enableECSManagedTags", "propagateTags", "availabilityZoneRebalancing"),
    }
)
UPDATE = frozenset(
    {
        *(
            "cluster",
            "service",
            "desiredCount",
            "taskDefinition",
            "capacityProviderStrategy",
            "loadBalancers",
        ),
        *("deploymentConfiguration", "networkConfiguration", "platformVersion", "forceNewDeployment"),
        *(
            "healthCheckGracePeriodSeconds",
            "enableECSManagedTags",
            "propagateTags",
            "availabilityZoneRebalancing",
        ),
    }
)
DEPLOYMENT = frozenset({"deploymentCircuitBreaker", "maximumPercent", "minimumHealthyPercent", "strategy"})
ROLLED = (
    "taskDefinition",
    "networkConfiguration",
    "platformVersion",
    "capacityProviderStrategy",
    "loadBalancers",
)
"""Members whose change begins a new deployment."""
USUAL: Document = {
    "loadBalancers": [],
    "healthCheckGracePeriodSeconds": 0,
    "enableECSManagedTags": False,
    "propagateTags": "NONE",
    "availabilityZoneRebalancing": "DISABLED",
    "tags": [],
}
"""Members that a service may leave out, and what they then are."""
FIXED: Document = {
    "status": "ACTIVE",
    "serviceRegistries": [],
    "schedulingStrategy": "REPLICA",
    "deploymentController": {"type": "ECS"},
    "enableExecuteCommand": False,
    "platformFamily": "Linux",
    "deployments": [],
    "events": [],
    "placementConstraints": [],
    "placementStrategy": [],
}
"""What every new service has."""


def on_service(cloud: Cloud, request: Document) -> str:
    """Authorise on the service that the request names."""
    return service_arn(cloud, cluster_name(request), last(request.get("service") or request["serviceName"]))


def on_services(cloud: Cloud, request: Document) -> list[str]:
    """Authorise on the services that the request names."""
    return [service_arn(cloud, cluster_name(request), last(each)) for each in request["services"]]


@SERVICE.operation("CreateService", on=on_service)
def create(cloud: Cloud, request: Document) -> Document:
    """Make a service; its tasks start in the background."""
    only("CreateService", request, CREATE)
    cluster, token = find_cluster(cloud, request), request.get("clientToken")
    record, state = _new(cloud, cluster, request), live.of(cloud)
    key = f"{cluster['clusterName']}/{record['serviceName']}"
    with state.changing:
        old = services(cloud).get(key)
        if old is not None and old["status"] != "INACTIVE":
            if not token or old["ClientToken"] != token:
                raise invalid("Creation of service was not idempotent.")
            return {"service": show(old)}  # the same request again, by an SDK that heard no answer
        services(cloud).delete(key)
        deployments.begin(record)
        services(cloud).put(key, record)
    state.changed.set()
    return {"service": show(record)}


@SERVICE.operation("UpdateService", on=on_service)
def update(cloud: Cloud, request: Document) -> Document:
    """Change a service; what its tasks are made of, or being asked to, makes a new deployment of it."""
    only("UpdateService", request, UPDATE)
    cluster = find_cluster(cloud, request)
    state = live.of(cloud)
    changes = _changes(cloud, request)
    with state.changing:
        key, record = find(cloud, cluster["clusterName"], request["service"])
        if record["status"] != "ACTIVE":
            raise ServiceError("ServiceNotActiveException", "Service was not ACTIVE.")
        _place(cluster, record, request, changes)
        before, record = record, {**record, **changes}
        if changes.keys() & {"loadBalancers", "taskDefinition"}:
            balancing.check(cloud, record["loadBalancers"], definitions.find(cloud, record["taskDefinition"]))
        is_new = any(record.get(name) != before.get(name) for name in ROLLED)
        if is_new or request.get("forceNewDeployment"):
            deployments.begin(record)
        if record["desiredCount"] != before["desiredCount"]:
            record["IsSteady"] = False
            counts = {"desiredCount": record["desiredCount"]}
            events.service_acted(record, "SERVICE_DESIRED_COUNT_UPDATED", "INFO", **counts)
        services(cloud).put(key, record)
    state.changed.set()
    return {"service": show(record)}


@SERVICE.operation("DeleteService", on=on_service)
def delete(cloud: Cloud, request: Document) -> Document:
    """Delete a service that is scaled to none, or with force any; its tasks drain in the background."""
    cluster = find_cluster(cloud, request)
    state = live.of(cloud)
    with state.changing:
        key, record = find(cloud, cluster["clusterName"], request["service"])
        if record["status"] == "ACTIVE":
            if record["desiredCount"] and not request.get("force"):
                raise invalid("The service cannot be stopped while it is scaled above 0.")
            record |= {"status": "DRAINING", "desiredCount": 0}
            services(cloud).put(key, record)
    state.changed.set()
    return {"service": show(record)}


@SERVICE.operation("DescribeServices", on=on_services)
def describe(cloud: Cloud, request: Document) -> Document:
    """Show services by name or ARN."""
    name = find_cluster(cloud, request)["clusterName"]
    with_tags = "TAGS" in request.get("include", [])
    found = {last(each): services(cloud).get(f"{name}/{last(each)}") for each in request["services"]}
    return {
        "services": [show(each, with_tags=with_tags) for each in found.values() if each is not None],
        "failures": [failure(service_arn(cloud, name, key)) for key, each in found.items() if each is None],
    }


@SERVICE.operation("ListServices", on=on_cluster)
def list_all(cloud: Cloud, request: Document) -> Document:
    """List services' ARNs."""
    arn = cluster_arn(cloud, last(request.get("cluster") or DEFAULT))
    find_cluster(cloud, request)
    found = [
        each["serviceArn"]
        for _, each in services(cloud).items()
        if each["clusterArn"] == arn and each["status"] != "INACTIVE"
        and request.get("launchType") in (None, each.get("launchType"))
    ]  # fmt: skip
    rows, token = page(found, request)
    return {"serviceArns": rows, "nextToken": token}


def find(cloud: Cloud, cluster: str, reference: str) -> tuple[str, Record]:
    """Return a service's key and record; raise ServiceError when there is none."""
    key = f"{cluster}/{last(reference)}"
    record = services(cloud).get(key)
    if record is None or record["status"] == "INACTIVE":
        raise ServiceError("ServiceNotFoundException", "Service not found.")
    return key, record


def show(record: Record, *, with_tags: bool = True) -> Document:
    """Return a service as the API does."""
    return {
        **shown(record, with_tags=with_tags),
        "deployments": [shown(each) for each in record["deployments"]],
        "runningCount": sum(each["runningCount"] for each in record["deployments"]),
        "pendingCount": sum(each["pendingCount"] for each in record["deployments"]),
    }


def _new(cloud: Cloud, cluster: Record, request: Document) -> Record:
    """Return the record of a service that is asked for, checked."""
    if not NAME.fullmatch(request["serviceName"]):
        raise invalid("Invalid service name: letters, digits, hyphens and underscores are allowed")
    if not request.get("taskDefinition"):
        raise invalid("TaskDefinition can not be blank.")
    _exactly(request.get("schedulingStrategy", "REPLICA"), "REPLICA", "scheduling strategy")
    _exactly(request.get("deploymentController", {}).get("type", "ECS"), "ECS", "deployment controller")
    definition = definitions.runnable(cloud, request["taskDefinition"])
    balancing.check(cloud, request.get("loadBalancers", []), definition)
    return {
        "serviceArn": service_arn(cloud, cluster["clusterName"], request["serviceName"]),
        "serviceName": request["serviceName"],
        "clusterArn": cluster["clusterArn"],
        "taskDefinition": definition["taskDefinitionArn"],
        "desiredCount": _count(request.get("desiredCount", 1)),
        "deploymentConfiguration": _configuration(request.get("deploymentConfiguration", {})),
        "createdAt": now(),
        "createdBy": cloud.identity.caller().arn,
        "ClientToken": request.get("clientToken"),
        **{name: request.get(name, usual) for name, usual in USUAL.items()},
        **FIXED,
        **placed(cluster, request),
    }


def _count(count: int) -> int:
    if count < 0:
        raise invalid("Desired count must be non-negative")
    return count


def _changes(cloud: Cloud, request: Document) -> Document:
    """Return the members that an update sets, checked."""
    names = ("healthCheckGracePeriodSeconds", "enableECSManagedTags", "propagateTags", "loadBalancers")
    changes = {name: request[name] for name in names if name in request}
    if request.get("taskDefinition"):
        changes["taskDefinition"] = definitions.runnable(cloud, request["taskDefinition"])[
            "taskDefinitionArn"
        ]
    if "desiredCount" in request:
        changes["desiredCount"] = _count(request["desiredCount"])
    return changes


def _place(cluster: Record, record: Record, request: Document, changes: Document) -> None:
    """Add to *changes* what the update says of where and how the service's tasks run."""
    if "deploymentConfiguration" in request:
        before = record["deploymentConfiguration"]
        changes["deploymentConfiguration"] = _configuration({**before, **request["deploymentConfiguration"]})
    names = ("networkConfiguration", "platformVersion", "capacityProviderStrategy")
    if any(name in request for name in names):
        own = {name: record[name] for name in (*names, "launchType") if name in record}
        if "capacityProviderStrategy" in request:
            own.pop("launchType", None)
        changes |= placed(cluster, {**own, **{name: request[name] for name in names if name in request}})


def _configuration(given: Document) -> Document:
    only("deploymentConfiguration", given, DEPLOYMENT)
    _exactly(given.get("strategy", "ROLLING"), "ROLLING", "deployment strategy")
    breaker = {"enable": False, "rollback": False, **(given.get("deploymentCircuitBreaker") or {})}
    percents = {"maximumPercent": 200, "minimumHealthyPercent": 100}
    found = {**percents, **given, "deploymentCircuitBreaker": breaker, "strategy": "ROLLING"}
    least, most = found["minimumHealthyPercent"], found["maximumPercent"]
    if not 0 <= least <= 100 or not 100 <= most <= 200 or (least, most) == (100, 100):
        what = f"minimumHealthyPercent {least} and maximumPercent {most}"
        raise invalid(
            f"No deployment could go on with {what}: allowed are 0-100 and 100-200, and not both 100"
        )
    return found


def _exactly(value: str, allowed: str, what: str) -> None:
    if value != allowed:
        raise invalid(f"Unsupported: the {what} {value} is not part of the local cloud")
