"""Tasks' records: made, changed, told of."""

from __future__ import annotations

import secrets
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecs import events
from atelier.cloud.services.ecs.service import PLATFORM, cluster_arn, new_id, now, task_arn, tasks
from atelier.cloud.services.wire import Document
from atelier.cloud.store import Record

ACTIVE = ("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING")
"""What a task goes through until it is told to stop."""
KEPT = 50
"""Stopped tasks that are remembered; AWS forgets them after an hour."""
LONGEST_REASON = 1024


def new(cloud: Cloud, cluster: str, definition: Record, **values: Any) -> Record:
    """Make and store a task that is to run; *values* are members of its record."""
    id = new_id()
    arn, address = task_arn(cloud, cluster, id), _address(cloud)
    network = values.pop("network").get("awsvpcConfiguration", {})
    record = {
        "taskArn": arn,
        "clusterArn": cluster_arn(cloud, cluster),
        "taskDefinitionArn": definition["taskDefinitionArn"],
        "lastStatus": "PROVISIONING",
        "desiredStatus": "RUNNING",
        "healthStatus": "UNKNOWN",
        "cpu": definition["cpu"],
        "memory": definition["memory"],
        "availabilityZone": f"{cloud.region}a",
        "attachments": [_interface(address, network)],
        "containers": [
            _container(cloud, cluster, arn, address, each) for each in definition["containerDefinitions"]
        ],
        "overrides": {"containerOverrides": [], "inferenceAcceleratorOverrides": []},
        "connectivity": "CONNECTED",
        "createdAt": now(),
        "platformVersion": PLATFORM,
        "platformFamily": "Linux",
        "launchType": "FARGATE",
        "enableExecuteCommand": False,
        "version": 1,
        "Id": id,
        "Checked": [
            each["name"]
            for each in definition["containerDefinitions"]
            if each.get("healthCheck") and each["essential"]
        ],
        "Address": address,
        "Network": network,
        **values,
    }
    tasks(cloud).put(id, record)
    events.task_changed(cloud, record)
    _forget_old(cloud)
    return record


def change(cloud: Cloud, id: str, **values: Any) -> Record | None:
    """Change a task's record and tell of it; None when there is no such task any more."""
    with tasks(cloud).lock:
        record = tasks(cloud).get(id)
        if record is None:
            return None
        record = tasks(cloud).change(id, **values, version=record["version"] + 1)
    if values.keys() & {"lastStatus", "desiredStatus"}:
        events.task_changed(cloud, record)
    return record


def change_container(cloud: Cloud, id: str, name: str, **values: Any) -> None:
    """Change one container of a task."""
    with tasks(cloud).lock:
        record = tasks(cloud).get(id)
        if record is not None:
            found = [{**each, **values} if each["name"] == name else each for each in record["containers"]]
            tasks(cloud).change(id, containers=found)


def change_health(cloud: Cloud, id: str, name: str, status: str) -> None:
    """Change what the checks of one container say; the task is as healthy as its least healthy one."""
    change_container(cloud, id, name, healthStatus=status)
    with tasks(cloud).lock:
        record = tasks(cloud).get(id)
        if record is None:
            return
        seen = [each["healthStatus"] for each in record["containers"] if each["name"] in record["Checked"]]
        worst = next((each for each in ("UNHEALTHY", "UNKNOWN") if each in seen), "HEALTHY")
        tasks(cloud).change(id, healthStatus=worst)


def stopping(cloud: Cloud, id: str, code: str, reason: str, **values: Any) -> Record | None:
    """Note that a task is to stop, and why; the first reason counts."""
    with tasks(cloud).lock:
        record = tasks(cloud).get(id)
        if record is None or record["desiredStatus"] == "STOPPED":
            return None
        said = {"stopCode": code, "stoppedReason": reason[:LONGEST_REASON], "stoppingAt": now()}
        version = record["version"] + 1
        record = tasks(cloud).change(id, desiredStatus="STOPPED", **said, **values, version=version)
    events.task_changed(cloud, record)
    return record


def stopped(cloud: Cloud, id: str) -> None:
    """Note that a task has ended."""
    change(cloud, id, lastStatus="STOPPED", stoppedAt=now(), connectivity="DISCONNECTED")


def of_service(cloud: Cloud, service: str) -> list[Record]:
    """Return a service's tasks by its key, oldest first."""
    return [each for _, each in tasks(cloud).items() if each.get("Service") == service]


def there(cloud: Cloud) -> int:
    """Return how many tasks have not ended."""
    return sum(each["lastStatus"] != "STOPPED" for _, each in tasks(cloud).items())


def _forget_old(cloud: Cloud) -> None:
    ended = [id for id, each in tasks(cloud).items() if each["lastStatus"] == "STOPPED"]
    for id in ended[:-KEPT]:
        tasks(cloud).delete(id)


def _address(cloud: Cloud) -> str:
    """Return an address of the loopback interface that no task has."""
    taken = {each["Address"] for _, each in tasks(cloud).items() if each["lastStatus"] != "STOPPED"}
    while True:
        address = f"127.{secrets.randbelow(20) + 220}.{secrets.randbelow(256)}.{secrets.randbelow(254) + 1}"
        if address not in taken:
            return address


def _interface(address: str, network: Document) -> Document:
    details = {
        "subnetId": secrets.choice(network["subnets"]),
        "networkInterfaceId": f"eni-{secrets.token_hex(9)[:17]}",
        "privateIPv4Address": address,
    }
    return {
        "id": new_id(),
        "type": "ElasticNetworkInterface",
        "status": "ATTACHED",
        "details": [{"name": key, "value": value} for key, value in details.items()],
    }


def _container(cloud: Cloud, cluster: str, task: str, address: str, definition: Document) -> Document:
    id = task.rpartition("/")[2]
    return {
        "containerArn": cloud.arn("ecs", f"container/{cluster}/{id}/{new_id()}"),
        "taskArn": task,
        "name": definition["name"],
        "image": definition["image"],
        "runtimeId": f"{id}-{definition['name']}",
        "lastStatus": "PENDING",
        "healthStatus": "UNKNOWN",
        "networkBindings": [],
        "networkInterfaces": [{"attachmentId": new_id(), "privateIpv4Address": address}],
        "cpu": str(definition.get("cpu", 0)),
        **({"memory": str(definition["memory"])} if definition.get("memory") else {}),
    }
