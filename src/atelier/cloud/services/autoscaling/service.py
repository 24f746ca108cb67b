"""The Application Auto Scaling API: its service object, and what all its operations share."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from atelier.cloud.context import Cloud
from atelier.cloud.services.wire import Document, Service, ServiceError
from atelier.cloud.store import Record, Table

SERVICE = Service("application-autoscaling", actions="application-autoscaling")
PAGE = 50
PLACE = ("ServiceNamespace", "ResourceId", "ScalableDimension")


def now() -> str:
    """Return the time as records keep it."""
    return datetime.now(UTC).isoformat()


def targets(cloud: Cloud) -> Table:
    """Return the scalable targets by their resource."""
    return cloud.store.table("autoscaling.targets")


def policies(cloud: Cloud) -> Table:
    """Return the scaling policies by their ARN."""
    return cloud.store.table("autoscaling.policies")


def activities(cloud: Cloud) -> Table:
    """Return the scaling activities by their id, oldest first."""
    return cloud.store.table("autoscaling.activities")


def target_arn(cloud: Cloud, dimension: str, resource: str) -> str:
    """Return the ARN of a resource's scalable target, whether it is registered or not."""
    digest = hashlib.sha256(f"{dimension}|{resource}".encode()).hexdigest()[:29]
    return cloud.arn("application-autoscaling", f"scalable-target/0{digest}")


def on_target(cloud: Cloud, request: Document) -> str:
    """Authorise on the scalable target of the resource that the request names."""
    return target_arn(cloud, request["ScalableDimension"], request["ResourceId"])


def missing(what: str, request: Document) -> ServiceError:
    """Return the answer to a request about something that is not there."""
    place = (
        f"service namespace: {request['ServiceNamespace']}, resource ID: {request['ResourceId']}, scalable"
        f" dimension: {request['ScalableDimension']}"
    )
    return ServiceError("ObjectNotFoundException", f"No {what} for {place}")


def invalid(message: str) -> ServiceError:
    """Return the answer to a request that cannot be."""
    return ServiceError("ValidationException", message)


def page(rows: list[Record], request: Document) -> tuple[list[Record], str | None]:
    """Return one page of records and the token of the next."""
    token = request.get("NextToken", "0")
    if not token.isdigit():
        raise ServiceError("InvalidNextTokenException", "The token is not valid")
    first = int(token)
    last = first + min(request.get("MaxResults", PAGE), PAGE)
    return rows[first:last], str(last) if last < len(rows) else None
