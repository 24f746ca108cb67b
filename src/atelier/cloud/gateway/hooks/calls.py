"""What API Gateway knows of a call all the way through: its one id, its trace, and who makes it."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from atelier.cloud.gateway.hooks.private import replace

V1 = "services.apigateway_v1"
TRACE = "X-Amzn-Trace-Id"


def _trace() -> str:
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"


@dataclass
class Call:
    """One call: the authorizer's word on who makes it comes later."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace: str = field(default_factory=_trace)
    principal: str | None = None


_current: ContextVar[Call] = ContextVar("api_call")


def begin() -> Call:
    """Begin a call; what follows in this context belongs to it."""
    call = Call()
    _current.set(call)
    return call


def install() -> None:
    """Let authorizers, functions and refusals of one call speak of it by the same id."""
    place = ("api_id", "stage_name", "method_obj", "method", "request_path", "resource", "headers", "body")
    rest = ("query_params", "path_params", "stage", "owner_account_id", "owner_region")
    replace(V1, "_authorize_request_v1", *place, *rest, by=_remembered)
    replace(V1, "_gateway_error_response", "error", "request", by=_refused)
    replace(
        V1,
        "_build_lambda_event_v1",
        *("api_id", "stage_name", "stage", "resource", "request_path", "method", "headers", "body"),
        *("query_params", "path_params", "binary_media_types", "authorizer_context", "caller_identity"),
        by=_told,
    )


def _remembered(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def authorize(*place: Any) -> Any:
        error, context = await original(*place)
        if context and (call := _current.get(None)):
            call.principal = context.get("principalId")
        return error, context

    return authorize


def _refused(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def respond(error: Any, request: Any) -> Any:
        if call := _current.get(None):
            request = {**request, "request_id": call.id}
        return original(error, request)

    return respond


def _told(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def build(*place: Any, **named: Any) -> dict[str, Any]:
        event = original(*place, **named)
        if call := _current.get(None):
            event["requestContext"] |= {"requestId": call.id, "extendedRequestId": call.id}
            known = {name.lower() for name in event["headers"]}
            if TRACE.lower() not in known:
                event["headers"] = {**event["headers"], TRACE: call.trace}
                event["multiValueHeaders"] = {**event["multiValueHeaders"], TRACE: [call.trace]}
        return event

    return build
