"""What one service module plugs into the gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from atelier.cloud.context import Caller, Cloud
from atelier.cloud.services.resources import ResourceType
from atelier.cloud.services.wire import Document, Response, Service

Rest = Callable[[Cloud, str, str, Mapping[str, str], bytes], Awaitable[Response | None]]
"""(cloud, method, path, headers, body) of a request that is not of the JSON protocol; None: not mine."""

Paths = Callable[[Cloud, str, str, Mapping[str, object], bytes], Awaitable[Response]]
"""(cloud, method, path, query, body) of every request to a service whose operations are paths."""

Integration = Callable[[Cloud, Caller, Document], Document]
"""(cloud, the state machine's role, the state's parameters) -> the state's result; runs in a thread."""

is_wanted: ContextVar[Callable[[], bool]] = ContextVar("is_wanted", default=lambda: True)
"""Says whether anyone still waits for an integration's result; to be asked while it waits for long."""

EventTarget = Callable[[Cloud, str, Document, Document], None]
"""(cloud, target ARN, the rule's target as configured, the event); the target's role is already checked."""


Refuse = Callable[[str, str, int], Response]
"""(code, message, status) -> the answer to a request that never reaches the service."""


class TaskFailed(Exception):
    """A Step Functions task's failure: its error name (``SageMaker.AmazonSageMakerException``) and cause."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(cause)
        self.error = error
        self.cause = cause


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A service, its resource types, and what other services may send to it.

    *scope* is the credential scope that requests are signed for. *integrations* are Step Functions resources
    by the part behind ``arn:aws:states:::`` (``sagemaker:createTrainingJob.sync``); ``aws-sdk:`` calls need
    no entry: they reach the service's operations. *event_target* receives EventBridge events for ARNs of this
    service. *paths* answers a service whose operations are paths; it has no other requests. *refuse* is for
    services whose errors are not JSON, or are JSON of another form.
    """

    scope: str
    service: Service
    resources: tuple[ResourceType, ...] = ()
    rest: Rest | None = None
    paths: Paths | None = None
    integrations: Mapping[str, Integration] = field(default_factory=dict)
    event_target: EventTarget | None = None
    refuse: Refuse | None = None
