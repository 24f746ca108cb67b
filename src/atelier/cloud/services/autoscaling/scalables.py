"""What can be scaled: endpoints' variants and ECS's services, seen alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.autoscaling.capacity import Capacity
from atelier.cloud.services.autoscaling.fleets import Services
from atelier.cloud.services.autoscaling.service import invalid
from atelier.cloud.services.autoscaling.variants import Variants
from atelier.cloud.services.wire import Document


class Kind(Protocol):
    """One kind of scalable resource; *resource* is its id, as Application Auto Scaling writes it."""

    namespace: str
    dimension: str
    role: str
    """The service-linked role by which it is scaled."""
    unit: str
    """What it has more of when it grows."""
    metrics: frozenset[str]
    """The predefined metrics that can be tracked."""

    def check(self, resource: str) -> None:
        """Raise ServiceError for an id that is none."""
        ...

    def is_there(self, cloud: Cloud, resource: str) -> bool:
        """Say whether there is such a resource, whatever its state."""
        ...

    def capacity(self, cloud: Cloud, resource: str) -> Capacity | None:
        """Return a resource's capacity, or None when there is no such resource."""
        ...

    def resize(self, cloud: Cloud, resource: str, count: int) -> None:
        """Give it another capacity in the background; raise ServiceError when that cannot be."""
        ...

    def check_metric(self, metric: Mapping[str, Any]) -> None:
        """Raise ServiceError for a predefined metric that lacks something, or has too much."""
        ...

    def watched(self, resource: str, metric: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an alarm on a predefined metric watches."""
        ...


KINDS: Mapping[str, Kind] = {each.namespace: each for each in (Variants(), Services())}


def kind(namespace: str) -> Kind:
    """Return the kind of a namespace; raise Refused for one that is not scaled here."""
    found = KINDS.get(namespace)
    if found is None:
        raise Refused(f"Unsupported: scaling of {namespace} is not part of the local cloud")
    return found


def of(record: Mapping[str, Any]) -> Kind:
    """Return the kind of a target, a policy or an activity."""
    return kind(record["ServiceNamespace"])


def check_place(request: Document) -> Kind:
    """Return the kind of resource that a request is about; refuse by name what is not scaled here."""
    found = kind(request["ServiceNamespace"])
    dimension = request.get("ScalableDimension", found.dimension)
    if dimension != found.dimension:
        raise Refused(f"Unsupported: scaling of {dimension} is not part of the local cloud")
    if isinstance(request.get("ResourceId"), str):
        found.check(request["ResourceId"])
    return found


def check_metric(request: Document, metric: Mapping[str, Any]) -> None:
    """Raise what is wrong with the predefined metric that a policy tracks."""
    found = of(request)
    name = metric["PredefinedMetricType"]
    if name not in found.metrics:
        known = any(name in each.metrics for each in KINDS.values())
        if known:
            raise invalid(f"{name} is not a metric of {found.namespace}")
        raise Refused(f"Unsupported: {name} is not part of the local cloud")
    found.check_metric(metric)
