"""The ECS API: its service object, its records, and what all its operations share."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.wire import Document, Service, ServiceError
from atelier.cloud.store import Record, Table

SERVICE = Service("ecs", actions="ecs")
PRINCIPAL = "ecs-tasks.amazonaws.com"
DEFAULT = "default"
PLATFORM = "1.4.0"
PROVIDERS = ("FARGATE", "FARGATE_SPOT")
PAGE = 100


def now() -> str:
    """Return the time as records keep it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def clusters(cloud: Cloud) -> Table:
    """Return the clusters by name."""
    return cloud.store.table("ecs.clusters")


def definitions(cloud: Cloud) -> Table:
    """Return the task definitions by ``family:revision``."""
    return cloud.store.table("ecs.definitions")


def families(cloud: Cloud) -> Table:
    """Return the last revision of every family: no number is ever given twice."""
    return cloud.store.table("ecs.families")


def services(cloud: Cloud) -> Table:
    """Return the services by ``cluster/name``."""
    return cloud.store.table("ecs.services")


def tasks(cloud: Cloud) -> Table:
    """Return the tasks by id."""
    return cloud.store.table("ecs.tasks")


def new_id() -> str:
    """Return an id as tasks and containers have it."""
    return secrets.token_hex(16)


def last(reference: str) -> str:
    """Return the name behind a name or an ARN."""
    return reference.rpartition("/")[2]


def cluster_name(request: Mapping[str, Any]) -> str:
    """Return the name of the cluster that a request means."""
    return last(request.get("cluster") or DEFAULT)


def cluster_arn(cloud: Cloud, name: str) -> str:
    """Return a cluster's ARN."""
    return cloud.arn("ecs", f"cluster/{name}")


def service_arn(cloud: Cloud, cluster: str, name: str) -> str:
    """Return a service's ARN."""
    return cloud.arn("ecs", f"service/{cluster}/{name}")


def task_arn(cloud: Cloud, cluster: str, id: str) -> str:
    """Return a task's ARN."""
    return cloud.arn("ecs", f"task/{cluster}/{id}")


def find_cluster(cloud: Cloud, request: Mapping[str, Any]) -> Record:
    """Return the cluster that a request means; raise ServiceError when there is none."""
    record = clusters(cloud).get(cluster_name(request))
    if record is None or record["status"] != "ACTIVE":
        raise ServiceError("ClusterNotFoundException", "Cluster not found.")
    return record


def invalid(message: str) -> ServiceError:
    """Return the answer to a parameter that cannot be."""
    return ServiceError("InvalidParameterException", message)


def refused(message: str) -> ServiceError:
    """Return the answer to what the caller may not do as things are."""
    return ServiceError("ClientException", message)


def only(where: str, document: Mapping[str, Any], names: frozenset[str]) -> None:
    """Refuse by name every member of *document* that is set and not among *names*."""
    for key, value in document.items():
        if key not in names and value not in (None, False, "", [], {}):
            raise Refused(f"Unsupported: {where}.{key} is not part of the local cloud")


def page(rows: list[Any], request: Document) -> tuple[list[Any], str | None]:
    """Return one page of rows and the token of the next."""
    token = request.get("nextToken") or "0"
    if not token.isdecimal():
        raise invalid("Invalid token")
    first = int(token)
    end = first + min(request.get("maxResults") or PAGE, PAGE)
    return rows[first:end], str(end) if end < len(rows) else None


def failure(arn: str) -> Document:
    """Return what a Describe answers for something that is not there."""
    return {"arn": arn, "reason": "MISSING"}


def shown(record: Mapping[str, Any], *, with_tags: bool = True) -> Document:
    """Return a record without what is ours alone (its members with a capital)."""
    return {
        key: value for key, value in record.items() if not key[:1].isupper() and (with_tags or key != "tags")
    }
