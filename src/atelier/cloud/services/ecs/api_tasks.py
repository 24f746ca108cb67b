"""Tasks on their own: run, listed, described, stopped."""

from __future__ import annotations

from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecs import definitions, live, records
from atelier.cloud.services.ecs.clusters import check_strategy, on_cluster
from atelier.cloud.services.ecs.placement import providers
from atelier.cloud.services.ecs.scheduler import launch
from atelier.cloud.services.ecs.service import (
    SERVICE,
    cluster_name,
    failure,
    find_cluster,
    invalid,
    last,
    only,
    page,
    refused,
    shown,
    task_arn,
    tasks,
)
from atelier.cloud.services.wire import Document
from atelier.cloud.store import Record

MEMBERS = frozenset(
    {
        *(
            "cluster",
            "taskDefinition",
            "count",
            "launchType",
            "capacityProviderStrategy",
            "networkConfiguration",
        ),
        *(
            "overrides",
            "group",
            "startedBy",
            "tags",
            "platformVersion",
            "propagateTags",
            "enableECSManagedTags",
            "clientToken",
        ),
    }
)
OVERRIDES = frozenset({"containerOverrides"})
CONTAINER_OVERRIDES = frozenset({"name", "command", "environment", "memory", "cpu"})
MOST = 10


def on_definition(cloud: Cloud, request: Document) -> str:
    """Authorise on the revision that would run."""
    name = last(request["taskDefinition"])
    return cloud.arn("ecs", f"task-definition/{name if ':' in name else f'{name}:*'}")


def on_task(cloud: Cloud, request: Document) -> str:
    """Authorise on the task that the request names."""
    return task_arn(cloud, cluster_name(request), last(request["task"]))


def on_tasks(cloud: Cloud, request: Document) -> list[str]:
    """Authorise on the tasks that the request names."""
    return [task_arn(cloud, cluster_name(request), last(each)) for each in request["tasks"]]


@SERVICE.operation("RunTask", on=on_definition)
def run(cloud: Cloud, request: Document) -> Document:
    """Start tasks; what there is no room for is among the failures."""
    only("RunTask", request, MEMBERS)
    cluster = find_cluster(cloud, request)
    definition = definitions.runnable(cloud, request["taskDefinition"])
    place = placed(cluster, request)
    overrides = _overrides(request.get("overrides", {}), definition)
    count = request.get("count", 1)
    if not 1 <= count <= MOST:
        raise invalid(f"count must be between 1 and {MOST}")
    state, token = live.of(cloud), request.get("clientToken")
    started: list[Record] = []
    if known := _started_by(cloud, token):
        return {"tasks": [shown(each) for each in known], "failures": []}
    running = [each for _, each in tasks(cloud).items() if each["lastStatus"] != "STOPPED"]
    if len(running) + count > state.settings.tasks:
        raise refused("You've reached the limit on the number of tasks you can run concurrently")
    for _ in range(count):
        task = records.new(
            cloud,
            cluster["clusterName"],
            definition,
            network=place["networkConfiguration"],
            group=request.get("group", f"family:{definition['family']}"),
            startedBy=request.get("startedBy"),
            overrides={"containerOverrides": overrides, "inferenceAcceleratorOverrides": []},
            tags=request.get("tags", []),
            ClientToken=token,
            **providers(place, started),
        )
        launch(cloud, state, task)
        started.append(task)
    return {"tasks": [shown(each) for each in started], "failures": []}


def _started_by(cloud: Cloud, token: str | None) -> list[Record]:
    """Return what the same request has started before: an SDK that repeats it sends the same token."""
    return [each for _, each in tasks(cloud).items() if token and each.get("ClientToken") == token]


@SERVICE.operation("StopTask", on=on_task)
def stop(cloud: Cloud, request: Document) -> Document:
    """Let a task end; a service replaces it."""
    name = find_cluster(cloud, request)["clusterName"]
    record = _found(cloud, name, request["task"])
    if record is None:
        raise invalid("The referenced task was not found.")
    records.stopping(cloud, record["Id"], "UserInitiated", request.get("reason") or "Task stopped by user")
    run = live.of(cloud).runs.get(record["Id"])
    if run is not None:
        run.end()
    live.of(cloud).changed.set()
    return {"task": shown(tasks(cloud).get(record["Id"]) or record)}


@SERVICE.operation("DescribeTasks", on=on_tasks)
def describe(cloud: Cloud, request: Document) -> Document:
    """Show tasks by id or ARN."""
    name = find_cluster(cloud, request)["clusterName"]
    with_tags = "TAGS" in request.get("include", [])
    found = {each: _found(cloud, name, each) for each in request["tasks"]}
    return {
        "tasks": [shown(each, with_tags=with_tags) for each in found.values() if each is not None],
        "failures": [
            failure(task_arn(cloud, name, last(key))) for key, each in found.items() if each is None
        ],
    }


@SERVICE.operation("ListTasks", on=on_cluster)
def list_all(cloud: Cloud, request: Document) -> Document:
    """List tasks' ARNs: those that shall run, unless the request says STOPPED."""
    name = find_cluster(cloud, request)["clusterName"]
    wanted: dict[str, Any] = {"desiredStatus": request.get("desiredStatus", "RUNNING")}
    if "serviceName" in request:
        wanted["Service"] = f"{name}/{last(request['serviceName'])}"
    if "startedBy" in request:
        wanted["startedBy"] = request["startedBy"]
    family = request.get("family")
    prefix = task_arn(cloud, name, "")
    found = [
        each["taskArn"]
        for _, each in tasks(cloud).items()
        if each["taskArn"].startswith(prefix)
        and all(each.get(key) == value for key, value in wanted.items())
        and (family is None or last(each["taskDefinitionArn"]).partition(":")[0] == family)
    ]
    rows, token = page(found, request)
    return {"taskArns": rows, "nextToken": token}


def placed(cluster: Record, request: Document) -> Document:
    """Return where something is to run: network, launch type or strategy; raise ServiceError if it cannot."""
    network = request.get("networkConfiguration")
    if not network or not network.get("awsvpcConfiguration", {}).get("subnets"):
        raise invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    launch_type, strategy = request.get("launchType"), request.get("capacityProviderStrategy")
    if launch_type and strategy:
        raise invalid("Specifying both a launch type and capacity provider strategy is not supported.")
    if launch_type not in (None, "FARGATE"):
        raise invalid(f"Unsupported: the launch type {launch_type} is not part of the local cloud")
    if strategy is None and launch_type is None:
        strategy = cluster["defaultCapacityProviderStrategy"]
    if strategy:
        check_strategy(strategy, cluster["capacityProviders"])
    version = request.get("platformVersion", "LATEST")
    if version not in ("LATEST", "1.4.0"):
        raise invalid(f"Unsupported: the platform version {version} is not part of the local cloud")
    place = {"networkConfiguration": network, "platformVersion": "1.4.0" if version == "LATEST" else version}
    return {**place, **({"capacityProviderStrategy": strategy} if strategy else {"launchType": "FARGATE"})}


def _overrides(overrides: Document, definition: Record) -> list[Document]:
    only("RunTask.overrides", overrides, OVERRIDES)
    names = {each["name"] for each in definition["containerDefinitions"]}
    found: list[Document] = overrides.get("containerOverrides", [])
    for each in found:
        only("RunTask.overrides.containerOverrides", each, CONTAINER_OVERRIDES)
        if each.get("name") not in names:
            raise invalid(
                f"Override for container named {each.get('name')} is not a container in the TaskDefinition."
            )
    return found


def _found(cloud: Cloud, cluster: str, reference: str) -> Record | None:
    record = tasks(cloud).get(last(reference))
    return record if record and record["taskArn"] == task_arn(cloud, cluster, last(reference)) else None
