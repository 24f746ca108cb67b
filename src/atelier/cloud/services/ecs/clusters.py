"""Clusters: names under which services and tasks run."""

from __future__ import annotations

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecs.service import (
    DEFAULT,
    PROVIDERS,
    SERVICE,
    cluster_arn,
    cluster_name,
    clusters,
    failure,
    find_cluster,
    invalid,
    last,
    only,
    page,
    services,
    shown,
    tasks,
)
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

MEMBERS = frozenset(
    {"clusterName", "tags", "settings", "capacityProviders", "defaultCapacityProviderStrategy"}
)


def on_cluster(cloud: Cloud, request: Document) -> str:
    """Authorise on the cluster that the request names."""
    return cluster_arn(cloud, cluster_name(request))


@SERVICE.operation(
    "CreateCluster", on=lambda cloud, request: cluster_arn(cloud, request.get("clusterName", DEFAULT))
)
def create(cloud: Cloud, request: Document) -> Document:
    """Make a cluster; one that is there already is returned as it is."""
    only("CreateCluster", request, MEMBERS)
    name = request.get("clusterName", DEFAULT)
    _check(request)
    with clusters(cloud).lock:
        record = clusters(cloud).get(name)
        if record is None or record["status"] != "ACTIVE":
            record = {
                "clusterArn": cluster_arn(cloud, name),
                "clusterName": name,
                "status": "ACTIVE",
                "settings": request.get("settings") or [{"name": "containerInsights", "value": "disabled"}],
                "capacityProviders": request.get("capacityProviders", []),
                "defaultCapacityProviderStrategy": request.get("defaultCapacityProviderStrategy", []),
                "tags": request.get("tags", []),
            }
            clusters(cloud).put(name, record)
    return {"cluster": show(cloud, record)}


@SERVICE.operation("DescribeClusters", on=lambda cloud, request: [
    cluster_arn(cloud, last(each)) for each in request.get("clusters") or [DEFAULT]
])  # fmt: skip
def describe(cloud: Cloud, request: Document) -> Document:
    """Show clusters by name or ARN."""
    names = [last(each) for each in request.get("clusters") or [DEFAULT]]
    found = {name: clusters(cloud).get(name) for name in names}
    return {
        "clusters": [show(cloud, each) for each in found.values() if each is not None],
        "failures": [failure(cluster_arn(cloud, name)) for name, each in found.items() if each is None],
    }


@SERVICE.operation("ListClusters", on=everything)
def list_all(cloud: Cloud, request: Document) -> Document:
    """List the clusters' ARNs."""
    arns = [each["clusterArn"] for _, each in clusters(cloud).items() if each["status"] == "ACTIVE"]
    rows, token = page(arns, request)
    return {"clusterArns": rows, "nextToken": token}


@SERVICE.operation("DeleteCluster", on=on_cluster)
def delete(cloud: Cloud, request: Document) -> Document:
    """Delete a cluster that nothing runs in."""
    with clusters(cloud).lock:
        record = find_cluster(cloud, request)
        name = record["clusterName"]
        if any(each["status"] != "INACTIVE" for each in _services(cloud, name)):
            message = "The Cluster cannot be deleted while Services are active."
            raise ServiceError("ClusterContainsServicesException", message)
        if _tasks(cloud, name):
            message = "The Cluster cannot be deleted while Tasks are active."
            raise ServiceError("ClusterContainsTasksException", message)
        record = {**record, "status": "INACTIVE"}
        clusters(cloud).put(name, record)
    return {"cluster": show(cloud, record)}


@SERVICE.operation("UpdateCluster", on=on_cluster)
def update(cloud: Cloud, request: Document) -> Document:
    """Change a cluster's settings."""
    only("UpdateCluster", request, frozenset({"cluster", "settings"}))
    return _settings(cloud, request)


@SERVICE.operation("UpdateClusterSettings", on=on_cluster)
def update_settings(cloud: Cloud, request: Document) -> Document:
    """Change a cluster's settings."""
    return _settings(cloud, request)


@SERVICE.operation("PutClusterCapacityProviders", on=on_cluster)
def put_providers(cloud: Cloud, request: Document) -> Document:
    """Say which capacity providers a cluster has, and by which its services run unless they say."""
    _check(request)
    name = find_cluster(cloud, request)["clusterName"]
    strategy = request["defaultCapacityProviderStrategy"]
    record = clusters(cloud).change(
        name, capacityProviders=request["capacityProviders"], defaultCapacityProviderStrategy=strategy
    )
    return {"cluster": show(cloud, record)}


def show(cloud: Cloud, record: Record) -> Document:
    """Return a cluster as the API does, with what runs in it."""
    name = record["clusterName"]
    states = [each["lastStatus"] for each in _tasks(cloud, name)]
    return {
        **shown(record),
        "registeredContainerInstancesCount": 0,
        "runningTasksCount": states.count("RUNNING"),
        "pendingTasksCount": sum(each in ("PROVISIONING", "PENDING", "ACTIVATING") for each in states),
        "activeServicesCount": sum(each["status"] == "ACTIVE" for each in _services(cloud, name)),
    }


def check_strategy(strategy: list[Document], known: list[str]) -> None:
    """Raise ServiceError for a capacity provider strategy that cannot be."""
    for each in strategy:
        if each["capacityProvider"] not in known:
            what = f"{each['capacityProvider']}, which the cluster does not have"
            raise invalid(f"The specified capacity provider strategy contains {what}")
    if sum(each.get("base", 0) > 0 for each in strategy) > 1:
        raise invalid("Only one capacity provider in a strategy can have a base")
    if strategy and not any(each.get("weight", 0) for each in strategy):
        raise invalid("A capacity provider strategy needs a provider with a weight greater than 0")


def _settings(cloud: Cloud, request: Document) -> Document:
    _check(request)
    name = find_cluster(cloud, request)["clusterName"]
    return {"cluster": show(cloud, clusters(cloud).change(name, settings=request["settings"]))}


def _check(request: Document) -> None:
    for each in request.get("settings") or []:
        if each.get("value") != "disabled":
            raise invalid(
                f"Unsupported: containerInsights={each.get('value')} is not part of the local cloud"
            )
    providers = request.get("capacityProviders") or []
    if odd := sorted(set(providers) - set(PROVIDERS)):
        raise invalid(
            f"The specified capacity provider {odd[0]} was not found: there are {', '.join(PROVIDERS)}"
        )
    check_strategy(request.get("defaultCapacityProviderStrategy") or [], providers)


def _services(cloud: Cloud, name: str) -> list[Record]:
    return [each for key, each in services(cloud).items() if key.partition("/")[0] == name]


def _tasks(cloud: Cloud, name: str) -> list[Record]:
    arn = cluster_arn(cloud, name)
    return [
        each
        for _, each in tasks(cloud).items()
        if each["clusterArn"] == arn and each["lastStatus"] != "STOPPED"
    ]
