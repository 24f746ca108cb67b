"""What every answer has around it, and the answers of the service itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ..schema import About, Rest, Text

LINK = Text(format="uri")


@dataclass(frozen=True, kw_only=True)
class Debug:
    """Where the operator of the deployment finds what happened during a request."""

    function_url: Annotated[str, LINK]
    log_url: Annotated[str, LINK]
    trace_url: Annotated[str, LINK]


@dataclass(frozen=True, kw_only=True)
class Document:
    """The OpenAPI document of a deployment."""

    document: Rest


@dataclass(frozen=True, kw_only=True)
class Empty:
    """Nothing: a deletion has no body."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a request was not answered as asked; API Gateway's own refusals have no status code inside."""

    message: str
    statusCode: int | None = None
    debug: Debug | None = None
    requestId: Annotated[str, About("Names the request in the logs.")] | None = None
