"""Task definitions: families of revisions that never change."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecs import checks, sizes
from atelier.cloud.services.ecs.service import (
    PRINCIPAL,
    SERVICE,
    definitions,
    families,
    invalid,
    last,
    now,
    only,
    page,
    refused,
    shown,
)
from atelier.cloud.services.roles import pass_role
from atelier.cloud.services.wire import Document, everything
from atelier.cloud.store import Record

FAMILY = re.compile(r"[A-Za-z0-9_-]{1,255}")
MEMBERS = frozenset(
    {
        *("family", "taskRoleArn", "executionRoleArn", "networkMode", "containerDefinitions", "volumes"),
        *("requiresCompatibilities", "cpu", "memory", "tags", "runtimePlatform"),
    }
)
CONTAINER = frozenset(
    {
        *("name", "image", "cpu", "memory", "memoryReservation", "portMappings", "essential", "entryPoint"),
        *("command", "environment", "mountPoints", "secrets", "stopTimeout", "logConfiguration"),
        "healthCheck",
    }
)
EFS = frozenset({"fileSystemId", "rootDirectory", "transitEncryption", "authorizationConfig"})
LOGS = frozenset({"awslogs-group", "awslogs-region", "awslogs-stream-prefix", "awslogs-create-group", "mode",
                  "max-buffer-size"})  # fmt: skip
LONGEST_STOP = 120


def on_family(cloud: Cloud, request: Document) -> str:
    """Authorise on every revision of the family that the request names."""
    return cloud.arn("ecs", f"task-definition/{request['family']}:*")


def on_definition(cloud: Cloud, request: Document) -> str:
    """Authorise on the task definition that the request names."""
    return cloud.arn("ecs", f"task-definition/{last(request['taskDefinition'])}")


@SERVICE.operation("RegisterTaskDefinition", on=on_family)
def register(cloud: Cloud, request: Document) -> Document:
    """Add a revision to a family."""
    _check(request)
    for role in ("taskRoleArn", "executionRoleArn"):
        if request.get(role):
            pass_role(cloud, request[role], PRINCIPAL)
    cpu, memory = sizes.check(request.get("cpu"), request.get("memory"))
    tags = request.pop("tags", [])
    with definitions(cloud).lock:
        family = request["family"]
        revision = (families(cloud).get(family) or {"last": 0})["last"] + 1
        families(cloud).put(family, {"last": revision})
        record = {
            **request,
            "cpu": cpu,
            "memory": memory,
            "taskDefinitionArn": cloud.arn("ecs", f"task-definition/{family}:{revision}"),
            "revision": revision,
            "status": "ACTIVE",
            "volumes": request.get("volumes", []),
            "containerDefinitions": [_filled(each) for each in request["containerDefinitions"]],
            "compatibilities": ["EC2", "FARGATE"],
            "registeredAt": now(),
            "registeredBy": cloud.identity.caller().arn,
            "Tags": tags,
        }
        definitions(cloud).put(f"{family}:{revision}", record)
    return {"taskDefinition": shown(record), "tags": tags}


@SERVICE.operation("DescribeTaskDefinition", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """Show a revision, or the newest active one of a family."""
    record = find(cloud, request["taskDefinition"])
    tags = record["Tags"] if "TAGS" in request.get("include", []) else []
    return {"taskDefinition": shown(record), "tags": tags}


@SERVICE.operation("ListTaskDefinitions", on=everything)
def list_all(cloud: Cloud, request: Document) -> Document:
    """List revisions' ARNs, oldest first unless asked otherwise."""
    family, status = request.get("familyPrefix"), request.get("status", "ACTIVE")
    found = [
        each
        for _, each in definitions(cloud).items()
        if each["status"] == status and family in (None, each["family"])
    ]
    found.sort(key=lambda each: (each["family"], each["revision"]), reverse=request.get("sort") == "DESC")
    rows, token = page([each["taskDefinitionArn"] for each in found], request)
    return {"taskDefinitionArns": rows, "nextToken": token}


@SERVICE.operation("ListTaskDefinitionFamilies", on=everything)
def list_families(cloud: Cloud, request: Document) -> Document:
    """List families by what their names begin with."""
    prefix, wanted = request.get("familyPrefix", ""), request.get("status", "ALL")
    active = {each["family"] for _, each in definitions(cloud).items() if each["status"] == "ACTIVE"}
    known = {each["family"] for _, each in definitions(cloud).items()}
    chosen = {"ACTIVE": active, "INACTIVE": known - active}.get(wanted, known)
    rows, token = page(sorted(each for each in chosen if each.startswith(prefix)), request)
    return {"families": rows, "nextToken": token}


@SERVICE.operation("DeregisterTaskDefinition", on=on_definition)
def deregister(cloud: Cloud, request: Document) -> Document:
    """Retire a revision: what runs goes on, nothing new is started from it by hand."""
    record = find(cloud, request["taskDefinition"], exact=True)
    key = f"{record['family']}:{record['revision']}"
    if record["status"] == "ACTIVE":
        record = definitions(cloud).change(key, status="INACTIVE", deregisteredAt=now())
    return {"taskDefinition": shown(record)}


def find(cloud: Cloud, reference: str, *, exact: bool = False) -> Record:
    """Return a revision by ``family``, ``family:revision`` or ARN; raise ServiceError when there is none."""
    name = last(reference)
    family, _, revision = name.partition(":")
    if exact and not revision:
        raise invalid("Revision is missing in the task definition.")
    if revision:
        record = definitions(cloud).get(name)
    else:
        active = [
            each for _, each in definitions(cloud).items()
            if each["family"] == family and each["status"] == "ACTIVE"
        ]  # fmt: skip
        record = max(active, key=lambda each: int(each["revision"]), default=None)
    if record is None:
        raise refused("Unable to describe task definition.")
    return record


def runnable(cloud: Cloud, reference: str) -> Record:
    """Return a revision that something new can be started from; raise ServiceError for any other."""
    try:
        record = find(cloud, reference)
    except Exception:
        raise refused("TaskDefinition not found.") from None
    if record["status"] != "ACTIVE":
        raise refused("TaskDefinition is inactive")
    return record


def _check(request: Document) -> None:
    only("RegisterTaskDefinition", request, MEMBERS)
    _check_kind(request)
    containers = request["containerDefinitions"]
    if not containers:
        raise refused("Container list cannot be empty.")
    names = Counter(each.get("name") for each in containers)
    if twice := [name for name, count in names.items() if count > 1]:
        raise refused(f"Container names must be unique: {twice[0]} is there twice")
    if not any(each.get("essential", True) for each in containers):
        raise refused("At least one container must be essential.")
    volumes = {_volume(each) for each in request.get("volumes", [])}
    for each in containers:
        _check_container(each, volumes, has_role=bool(request.get("executionRoleArn")))


def _check_kind(request: Document) -> None:
    if not FAMILY.fullmatch(request["family"]):
        what = "letters, digits, hyphens and underscores are allowed"
        raise refused(f"Family contains invalid characters: {what}")
    if "FARGATE" not in request.get("requiresCompatibilities", []):
        raise invalid("Unsupported: tasks that do not require FARGATE are not part of the local cloud")
    family = request.get("runtimePlatform", {}).get("operatingSystemFamily", "LINUX")
    if family != "LINUX":
        raise invalid(f"Unsupported: the operating system family {family} is not part of the local cloud")
    if request.get("networkMode") != "awsvpc":
        raise refused("Fargate only supports network mode 'awsvpc'.")


def _volume(volume: Document) -> str:
    only("volumes", volume, frozenset({"name", "efsVolumeConfiguration"}))
    efs = volume.get("efsVolumeConfiguration")
    if efs:
        only("efsVolumeConfiguration", efs, EFS)
        access = efs.get("authorizationConfig", {})
        if access and efs.get("transitEncryption") != "ENABLED":
            raise refused(
                "EFS transit encryption must be enabled when an authorization configuration is given."
            )
        if access.get("accessPointId") and efs.get("rootDirectory", "/") != "/":
            raise refused("rootDirectory must be omitted or / when an EFS access point is given.")
    return str(volume["name"])


def _check_container(container: Document, volumes: set[str], *, has_role: bool) -> None:
    only("containerDefinitions", container, CONTAINER)
    for name in ("name", "image"):
        if not container.get(name):
            raise refused(f"Container.{name} should not be null or empty.")
    if container.get("stopTimeout", 0) > LONGEST_STOP:
        raise refused(f"The stop timeout of a container on Fargate is at most {LONGEST_STOP} seconds.")
    for mount in container.get("mountPoints", []):
        if mount.get("sourceVolume") not in volumes:
            raise refused(f"Unknown volume '{mount.get('sourceVolume')}'.")
    _check_ports(container)
    checks.check(container.get("healthCheck"))
    _check_access(container, has_role=has_role)


def _check_ports(container: Document) -> None:
    for mapping in container.get("portMappings", []):
        if mapping.get("hostPort", mapping["containerPort"]) != mapping["containerPort"]:
            raise refused(
                "When networkMode=awsvpc, the host ports and container ports in port mappings must match."
            )
        if mapping.get("protocol", "tcp") != "tcp":
            raise invalid(f"Unsupported: the protocol {mapping['protocol']} is not part of the local cloud")


def _check_access(container: Document, *, has_role: bool) -> None:
    logs = container.get("logConfiguration")
    if logs:
        if logs["logDriver"] != "awslogs":
            raise invalid(f"Unsupported: the log driver {logs['logDriver']} is not part of the local cloud")
        only("logConfiguration", logs, frozenset({"logDriver", "options"}))
        only("logConfiguration.options", logs.get("options", {}), LOGS)
        for name in ("awslogs-group", "awslogs-region", "awslogs-stream-prefix"):
            if not logs.get("options", {}).get(name):
                raise refused(f"Log driver awslogs requires option '{name}' on Fargate.")
    if (logs or container.get("secrets")) and not has_role:
        what = "log driver awslogs" if logs else "secrets"
        raise refused(f"Fargate requires task definition to have execution role ARN to support {what}.")


def _filled(container: Document) -> dict[str, Any]:
    """Return a container definition with what AWS adds to one that leaves it out."""
    ports = [
        {"protocol": "tcp", **each, "hostPort": each["containerPort"]}
        for each in container.get("portMappings", [])
    ]
    filled = {"cpu": 0, "essential": True, "environment": [], "mountPoints": [], "volumesFrom": []}
    health = container.get("healthCheck")
    checked = {"interval": 30, "timeout": 5, "retries": 3, **health} if health else None
    return {**filled, **container, "portMappings": ports, **({"healthCheck": checked} if checked else {})}
