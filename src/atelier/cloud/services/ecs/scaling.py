"""How many tasks a service has, for Application Auto Scaling."""

from __future__ import annotations

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecs import events, live
from atelier.cloud.services.ecs.service import refused, services
from atelier.cloud.store import Record


def find(cloud: Cloud, key: str) -> Record | None:
    """Return a service that is there by its key, ``cluster/name``."""
    record = services(cloud).get(key)
    return record if record is not None and record["status"] == "ACTIVE" else None


def is_full(record: Record) -> bool:
    """Say whether as many tasks run as are wanted."""
    running = sum(each["runningCount"] for each in record["deployments"])
    return bool(running >= record["desiredCount"])


def is_rolling(record: Record) -> bool:
    """Say whether a deployment is under way: a service then does not shrink."""
    return any(each["rolloutState"] == "IN_PROGRESS" for each in record["deployments"])


def resize(cloud: Cloud, key: str, count: int) -> None:
    """Bring a service to *count* tasks in the background; raise ServiceError when there is none."""
    state = live.of(cloud)
    with state.changing:
        record = find(cloud, key)
        if record is None:
            raise refused(f"there is no active service {key}")
        record |= {"desiredCount": count, "IsSteady": False}
        services(cloud).put(key, record)
        events.service_acted(record, "SERVICE_DESIRED_COUNT_UPDATED", "INFO", desiredCount=count)
    state.changed.set()
