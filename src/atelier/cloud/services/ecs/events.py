"""What ECS tells: on the event bus, and in a service's own list of events."""

from __future__ import annotations

import uuid
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecs.service import now, shown
from atelier.cloud.store import Record

SOURCE = "aws.ecs"
KEPT = 100


def _later(service: Record, kind: str, detail: Record) -> None:
    """Keep an event in the service's record: it is told when what it tells of is there for all to see."""
    service["Untold"] = [*service.get("Untold", []), [kind, detail]]


def tell(cloud: Cloud, service: Record) -> int:
    """Publish a stored service's events; return how many of its `Untold` are told now."""
    untold = service.get("Untold", [])
    for kind, detail in untold:
        cloud.events.publish(SOURCE, kind, detail, [service["serviceArn"]])
    return len(untold)


def task_changed(cloud: Cloud, task: Record) -> None:
    """Tell of a task's state."""
    detail = {**shown(task, with_tags=False), "updatedAt": now()}
    cloud.events.publish(SOURCE, "ECS Task State Change", detail, [task["taskArn"]])


def deployment_changed(service: Record, deployment: Record, state: str) -> None:
    """Tell of a deployment that began, ended well (``COMPLETED``) or did not."""
    detail = {
        "eventType": "ERROR" if state == "FAILED" else "INFO",
        "eventName": f"SERVICE_DEPLOYMENT_{state}",
        "clusterArn": service["clusterArn"],
        "deploymentId": deployment["id"],
        "updatedAt": deployment["updatedAt"],
        "reason": deployment["rolloutStateReason"],
    }
    _later(service, "ECS Deployment State Change", detail)


def service_acted(service: Record, name: str, kind: str, **more: Any) -> None:
    """Tell what the scheduler did for a service (``SERVICE_STEADY_STATE``), or could not do."""
    detail = {
        "eventType": kind,
        "eventName": name,
        "clusterArn": service["clusterArn"],
        "createdAt": now(),
        **more,
    }
    _later(service, "ECS Service Action", detail)


def note(service: Record, message: str) -> None:
    """Add to the service's own events, newest first; a record is changed, not stored."""
    text = f"(service {service['serviceName']}) {message}"
    if service["events"] and service["events"][0]["message"] == text:
        return
    event = {"id": str(uuid.uuid4()), "createdAt": now(), "message": text}
    service["events"] = [event, *service["events"]][:KEPT]
