"""What every answer has around it, and the answers of the service itself."""

from __future__ import annotations

from typing import Annotated

from ..schema import About, Rest, Text
from ..values import Value

LINK = Text(format="uri")


class Debug(Value):
    """Where the operator of the deployment finds what happened during a request."""

    function_url: Annotated[str, LINK]
    log_url: Annotated[str, LINK]
    trace_url: Annotated[str, LINK]


class Document(Value):
    """The OpenAPI document of a deployment."""

    document: Rest


class Empty(Value):
    """Nothing: a deletion has no body."""


class Refusal(Value):
    """Why a request was not answered as asked; API Gateway's own refusals have no status code inside."""

    message: str
    statusCode: int | None = None
    debug: Debug | None = None
    requestId: Annotated[str, About("Names the request in the logs.")] | None = None
