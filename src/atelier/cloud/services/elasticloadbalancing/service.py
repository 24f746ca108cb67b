"""What all of Elastic Load Balancing's modules share: the service, its records, its ARNs and errors."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.wire import Document, Service, ServiceError
from atelier.cloud.store import Record, Table

SCOPE = "elasticloadbalancing"
SERVICE = Service("elbv2", actions=SCOPE)


def load_balancers(cloud: Cloud) -> Table:
    """Return the load balancers by ARN."""
    return cloud.store.table(f"{SCOPE}.load-balancers")


def listeners(cloud: Cloud) -> Table:
    """Return the listeners by ARN."""
    return cloud.store.table(f"{SCOPE}.listeners")


def rules(cloud: Cloud) -> Table:
    """Return the rules by ARN; a listener's default actions are not among them."""
    return cloud.store.table(f"{SCOPE}.rules")


def groups(cloud: Cloud) -> Table:
    """Return the target groups by ARN."""
    return cloud.store.table(f"{SCOPE}.target-groups")


def targets(cloud: Cloud) -> Table:
    """Return what is registered with target groups, by group, address and port."""
    return cloud.store.table(f"{SCOPE}.targets")


def unwritten(cloud: Cloud) -> Table:
    """Return the lines of access logs that wait for the cloud to be up again, by load balancer."""
    return cloud.store.table(f"{SCOPE}.unwritten")


def new_id() -> str:
    """Return what makes an ARN different from all others: ``50dc6c495c0c9188``."""
    return secrets.token_hex(8)


def now() -> str:
    """Return the time as records keep it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def dimension(arn: str) -> str:
    """Return a load balancer or target group as CloudWatch and scaling policies name it."""
    return arn.rsplit(":", 1)[-1].removeprefix("loadbalancer/")


def on(member: str) -> Callable[[Cloud, Document], str]:
    """Authorise on the ARN that a request has in *member*."""
    return lambda _cloud, request: str(request[member])


def on_new(kind: str) -> Callable[[Cloud, Document], str]:
    """Authorise on what a request is about to make."""
    return lambda cloud, request: cloud.arn(SCOPE, f"{kind}/{request.get('Name', '*')}/*")


def found(table: Table, arn: str, code: str, noun: str) -> Record:
    """Return a record; raise ServiceError when it is not there."""
    record = table.get(arn)
    if record is None:
        raise ServiceError(code, f"{noun} '{arn}' not found")
    return record


def balancer(cloud: Cloud, arn: str) -> Record:
    """Return a load balancer; raise ServiceError when it is not there."""
    return found(load_balancers(cloud), arn, "LoadBalancerNotFound", "Load balancer")


def listener(cloud: Cloud, arn: str) -> Record:
    """Return a listener; raise ServiceError when it is not there."""
    return found(listeners(cloud), arn, "ListenerNotFound", "Listener")


def group(cloud: Cloud, arn: str) -> Record:
    """Return a target group; raise ServiceError when it is not there."""
    return found(groups(cloud), arn, "TargetGroupNotFound", "Target group")


def groups_of(actions: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return the target groups that actions forward to, with their weights."""
    return {
        each["TargetGroupArn"]: each.get("Weight", 1)
        for action in actions
        if action["Type"] == "forward"
        for each in action["ForwardConfig"]["TargetGroups"]
    }


def users(cloud: Cloud, group_arn: str) -> set[str]:
    """Return the load balancers that forward to a target group."""
    used = set()
    for arn, record in listeners(cloud).items():
        own = [each for _, each in rules(cloud).items() if each["ListenerArn"] == arn]
        actions = [*record["DefaultActions"], *(action for each in own for action in each["Actions"])]
        if group_arn in groups_of(actions):
            used.add(str(record["LoadBalancerArn"]))
    return used


def unsupported(request: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raise ServiceError for a member that the local cloud does not read."""
    if odd := sorted(set(request) - set(known)):
        raise ServiceError("UnsupportedOperation", f"{where}.{odd[0]} is not part of the local cloud")


def invalid(message: str) -> ServiceError:
    """Return the error for values that cannot be."""
    return ServiceError("InvalidConfigurationRequest", message)


def page(rows: list[Any], request: Document) -> tuple[list[Any], str | None]:
    """Return a page of the rows, and the marker of the next one."""
    marker = request.get("Marker") or "0"
    if not marker.isdecimal():
        raise ServiceError("ValidationError", "The marker is not valid")
    first = int(marker)
    last = first + request.get("PageSize", 400)
    return rows[first:last], str(last) if last < len(rows) else None
