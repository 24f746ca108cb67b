"""The SageMaker API: its service object, and what all its operations share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.wire import Document, Service, ServiceError, Target
from atelier.cloud.store import Table

SERVICE = Service("sagemaker", actions="sagemaker")
PRINCIPAL = "sagemaker.amazonaws.com"
REASON_LIMIT = 1024


def now() -> str:
    """Return the time as records keep it."""
    return datetime.now(UTC).isoformat()


def on(kind: str, member: str) -> Target:
    """Authorise on the ARN of a *kind* of resource that the request's *member* names."""

    def target(cloud: Cloud, request: Document) -> str:
        return arn(cloud, kind, request[member])

    return target


def on_all(kind: str) -> Target:
    """Authorise a listing on every resource of a *kind*."""

    def target(cloud: Cloud, _request: Document) -> str:
        return arn(cloud, kind, "*")

    return target


def arn(cloud: Cloud, kind: str, name: str) -> str:
    """Return the ARN of the resource of a *kind* (``training-job``) called *name*."""
    return cloud.arn("sagemaker", f"{kind}/{name}")


def jobs(cloud: Cloud) -> Table:
    """Return the training jobs' records."""
    return cloud.store.table("sagemaker.training-jobs")


def models(cloud: Cloud) -> Table:
    """Return the models' records."""
    return cloud.store.table("sagemaker.models")


def configs(cloud: Cloud) -> Table:
    """Return the endpoint configurations' records."""
    return cloud.store.table("sagemaker.endpoint-configs")


def endpoints(cloud: Cloud) -> Table:
    """Return the endpoints' records."""
    return cloud.store.table("sagemaker.endpoints")


def notebook_instances(cloud: Cloud) -> Table:
    """Return the notebook instances' records."""
    return cloud.store.table("sagemaker.notebook-instances")


def lifecycle_configs(cloud: Cloud) -> Table:
    """Return the records of notebook instances' lifecycle configurations."""
    return cloud.store.table("sagemaker.lifecycle-configs")


def requests(cloud: Cloud) -> Table:
    """Return the requests of asynchronous endpoints that are not answered yet."""
    return cloud.store.table("sagemaker.async-requests")


def invalid(message: str) -> ServiceError:
    """Return SageMaker's answer to nearly everything that is wrong with a request."""
    return ServiceError("ValidationException", message)


def only(where: str, document: Mapping[str, Any], *names: str) -> None:
    """Refuse by name every member of *document* that is set and not among *names*."""
    for key, value in document.items():
        if key not in names and value not in (None, False, "", [], {}):
            raise Refused(f"Unsupported: {where}.{key} is not part of the local cloud")


def exactly(where: str, value: Any, *allowed: Any) -> None:
    """Refuse a *value* that AWS knows and the local cloud does not."""
    if value is not None and value not in allowed:
        raise Refused(f"Unsupported: {where}={value} is not part of the local cloud")


def shorten(reason: str) -> str:
    """Return a failure reason of the length that SageMaker allows."""
    return reason if len(reason) <= REASON_LIMIT else reason[: REASON_LIMIT - 1] + "…"


def plain(value: Any) -> Any:
    """Return a record as events and state machines see it: times as milliseconds."""
    if isinstance(value, Mapping):
        return {key: _plain_member(key, each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [plain(each) for each in value]
    return value


def _plain_member(key: str, value: Any) -> Any:
    if key in ("HyperParameters", "Environment"):  # the user's own keys, whatever they look like
        return value
    if isinstance(value, str) and key.endswith(("Time", "Timestamp")):
        return int(datetime.fromisoformat(value).timestamp() * 1000)
    return plain(value)
