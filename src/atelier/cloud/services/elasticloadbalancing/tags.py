"""Tags of load balancers, listeners, rules and target groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from atelier.cloud.context import Cloud
from atelier.cloud.services.elasticloadbalancing.service import (
    SERVICE,
    groups,
    listeners,
    load_balancers,
    rules,
)
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Table

MOST = 50
TABLES: Mapping[str, tuple[Callable[[Cloud], Table], str]] = {
    "loadbalancer": (load_balancers, "LoadBalancerNotFound"),
    "listener": (listeners, "ListenerNotFound"),
    "listener-rule": (rules, "RuleNotFound"),
    "targetgroup": (groups, "TargetGroupNotFound"),
}
"""Where a resource is kept, and the error for one that is not, by its ARN's kind."""


def _on(_cloud: Cloud, request: Document) -> list[str]:
    return list(request["ResourceArns"])


@SERVICE.operation("AddTags", on=_on)
def add(cloud: Cloud, request: Document) -> None:
    """Set tags on resources; all of them must be there."""
    tags = plain(request["Tags"])
    _change(cloud, request["ResourceArns"], lambda kept: {**kept, **tags})


@SERVICE.operation("RemoveTags", on=_on)
def remove(cloud: Cloud, request: Document) -> None:
    """Take tags from resources."""
    gone = set(request["TagKeys"])
    _change(cloud, request["ResourceArns"], lambda kept: {k: v for k, v in kept.items() if k not in gone})


@SERVICE.operation("DescribeTags", on=_on)
def describe(cloud: Cloud, request: Document) -> Document:
    """List the tags of resources."""
    rows = [(arn, (_place(cloud, arn).get(arn) or {}).get("Tags", {})) for arn in request["ResourceArns"]]
    return {
        "TagDescriptions": [
            {"ResourceArn": arn, "Tags": [{"Key": key, "Value": tags[key]} for key in sorted(tags)]}
            for arn, tags in rows
        ]
    }


def plain(tags: Iterable[Document]) -> dict[str, str]:
    """Return tags by key; raise ServiceError for what a resource cannot have."""
    found = {each["Key"]: each.get("Value", "") for each in tags}
    for key in found:
        if key.startswith("aws:"):
            raise ServiceError("ValidationError", f"The tag key '{key}' must not begin with 'aws:'")
    return few(found)


def few(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags of one resource; raise ServiceError for too many."""
    if len(tags) > MOST:
        raise ServiceError("TooManyTags", f"A resource has at most {MOST} tags")
    return tags


def _change(cloud: Cloud, arns: Iterable[str], change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    for table, arn in [(_place(cloud, arn), arn) for arn in arns]:
        with table.lock:
            table.change(arn, Tags=few(change((table.get(arn) or {}).get("Tags", {}))))


def _place(cloud: Cloud, arn: str) -> Table:
    kind = arn.rsplit(":", 1)[-1].partition("/")[0]
    table, error = TABLES.get(kind, TABLES["loadbalancer"])
    if arn not in table(cloud):
        raise ServiceError(error, f"'{arn}' not found")
    return table(cloud)
