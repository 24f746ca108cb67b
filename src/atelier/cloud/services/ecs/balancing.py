"""Load balancers, as tasks meet them: registered when they run, let go before they stop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecs.service import invalid
from atelier.cloud.services.elasticloadbalancing import targets
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

Place = tuple[str, str, int]
"""A target group's ARN, and the address and port of a task in it."""


def check(cloud: Cloud, balancers: Iterable[Document], definition: Record) -> None:
    """Raise ServiceError for a target group or a container that a service cannot have."""
    ports = {
        (each["name"], mapping["containerPort"])
        for each in definition["containerDefinitions"]
        for mapping in each["portMappings"]
    }
    for each in balancers:
        if set(each) - {"targetGroupArn", "containerName", "containerPort"}:
            raise invalid("Unsupported: only target groups are load balancers of the local cloud's services")
        if (each["containerName"], each["containerPort"]) not in ports:
            where = f"a container port {each['containerPort']} defined"
            raise invalid(f"The container {each['containerName']} did not have {where}.")
        _check_group(cloud, each["targetGroupArn"])


def _check_group(cloud: Cloud, arn: str) -> None:
    try:
        is_used = targets.is_used(cloud, arn)
    except ServiceError as error:
        raise invalid(f"The specified target group does not exist: {error}") from error
    if not is_used:
        raise invalid(
            f"The target group with targetGroupArn {arn} does not have an associated load balancer."
        )


def places(task: Record) -> list[Place]:
    """Return where a task is, or is to be, in target groups."""
    return [
        (each["targetGroupArn"], task["Address"], each["containerPort"]) for each in task.get("Balancers", ())
    ]


def register(cloud: Cloud, task: Record) -> None:
    """Let a task have requests."""
    for place in places(task):
        targets.register(cloud, *place)


def deregister(cloud: Cloud, task: Record) -> None:
    """Let a task have no new requests; those it has may end."""
    for place in places(task):
        with contextlib.suppress(ServiceError):  # the target group went before its targets
            targets.deregister(cloud, *place)


def is_drained(cloud: Cloud, task: Record) -> bool:
    """Say whether no target group holds the task any more."""
    return all(targets.state(cloud, *place)[0] != "draining" for place in places(task))


def health(cloud: Cloud, task: Record) -> tuple[str, str]:
    """Return ``healthy``, ``waiting`` or ``failing``, and by which target group and why."""
    worst = "healthy", ""
    for place in places(task):
        state, why = targets.state(cloud, *place)
        if state == "unhealthy":
            return "failing", f"Task failed ELB health checks in (target-group {place[0]}): {why}"
        if state != "healthy":
            worst = "waiting", str(why)
    return worst
