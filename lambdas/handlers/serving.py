"""The serving API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
from aws_lambda_powertools.metrics import MetricUnit

from atelier.contract import documents
from atelier.lambdas.bootstrap import training as bootstrap
from atelier.lambdas.errors import Busy, Conflict, Failed, Invalid, NotFound, TooLarge
from atelier.lambdas.services import completions

logger = Logger()
metrics = Metrics(namespace="Atelier")
app = APIGatewayRestResolver()

STATUS: Mapping[type[Exception], HTTPStatus] = {
    documents.Invalid: HTTPStatus.BAD_REQUEST,
    Invalid: HTTPStatus.BAD_REQUEST,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Failed: HTTPStatus.BAD_GATEWAY,
    Busy: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The one place where our errors become HTTP."""


@logger.inject_lambda_context
@metrics.log_metrics
def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request of API Gateway."""
    metrics.add_metric("Requests", MetricUnit.Count, 1)
    return app.resolve(event, context)


@app.post("/completions")
def complete() -> Response[str]:
    """Go on where a prompt ends."""
    ports = bootstrap.serving()
    answer = completions.complete(
        app.current_event.body or "", endpoint=ports.endpoint, prompts=ports.prompts
    )
    metrics.add_metric("Completions", MetricUnit.Count, 1)
    return reply(HTTPStatus.OK, answer)


@app.get("/models/current")
def current_model() -> Response[str]:
    """Describe the version that serves."""
    return reply(HTTPStatus.OK, completions.current(registry=bootstrap.serving().registry))


@app.exception_handler(list(STATUS))  # type: ignore[untyped-decorator]
def refuse(error: Exception) -> Response[str]:
    """Answer with the status that this error stands for."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return reply(status, {"message": str(error)})


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def fail(error: Exception) -> Response[str]:
    """Answer an unexpected error with nothing of its text."""
    logger.exception("unexpected error")
    return reply(HTTPStatus.INTERNAL_SERVER_ERROR, {"message": "something went wrong here"})


@app.not_found
def not_found(error: Exception) -> Response[str]:
    """Answer what no route takes."""
    return reply(HTTPStatus.NOT_FOUND, {"message": "there is no such path or method"})


def reply(status: HTTPStatus, document: Mapping[str, Any]) -> Response[str]:
    """Return a JSON response."""
    return Response(status, content_types.APPLICATION_JSON, json.dumps(document))
