"""The protocol of services whose operations are paths: which one is meant, its request, and its answer."""

from __future__ import annotations

import functools
import json
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from botocore.model import OperationModel, Shape

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.wire import Document, Response, Service, ServiceError, parse

logger = logging.getLogger(__name__)

Query = Mapping[str, Any]
INVALID = "BadRequest"
"""What these services call a request that is not as their model says."""


def answer(service: Service, cloud: Cloud, method: str, path: str, query: Query, body: bytes) -> Response:
    """Answer one request; every failure becomes the error that an SDK expects."""
    try:
        operation, named = route(service, method, path)
        answered = service.call(cloud, operation.name, _request(operation, named, query, body))
        return _sent(int(operation.http.get("responseCode", 200)), answered)
    except ServiceError as error:
        return refuse(error.code, str(error), _status(service, error))
    except Refused as error:
        return refuse(INVALID, str(error), 400)
    except Exception:  # the edge: the text of an unexpected error stays in the log
        logger.exception("%s: %s %s failed", service.model, method, path)
        return refuse("InternalServerError", "see `atelier logs`", 500)


def refuse(code: str, message: str, status: int) -> Response:
    """Return an error."""
    code = INVALID if code in ("ValidationException", "SerializationException") else code
    _, headers, body = _sent(status, {"ErrorCode": code, "Message": message})
    return status, {**headers, "x-amzn-errortype": code}, body


def _sent(status: int, document: Document) -> Response:
    body = b"" if status == 204 else json.dumps(document).encode()
    return status, {"Content-Type": "application/json"}, body


def _status(service: Service, error: ServiceError) -> int:
    """Return the status that the model gives to an error."""
    for shape in service.shapes.error_shapes:
        if shape.name == error.code:
            return int(shape.metadata.get("error", {}).get("httpStatusCode", error.status))
    return 403 if error.code == "AccessDeniedException" else error.status


def route(service: Service, method: str, path: str) -> tuple[OperationModel, dict[str, str]]:
    """Return the operation that a method and a path mean, and what the path names."""
    for name in service.shapes.operation_names:
        operation = service.shapes.operation_model(name)
        found = _pattern(operation.http["requestUri"]).fullmatch(path)
        if found and operation.http["method"] == method:
            return operation, {key: unquote(value) for key, value in found.groupdict().items()}
    raise ServiceError("UnknownOperationException", f"there is no {method} {path}", status=404)


@functools.cache
def _pattern(uri: str) -> re.Pattern[str]:
    """Return what matches an operation's path; an id in it may be an ARN, with slashes of its own."""
    parts = re.split(r"\{(\w+)\}", uri.rstrip("/"))
    return re.compile(
        "".join(
            f"(?P<{each}>(?:arn:[^/]+/)?[^/]+)" if index % 2 else re.escape(each)
            for index, each in enumerate(parts)
        )
        + "/?"
    )


def _request(operation: OperationModel, named: Mapping[str, str], query: Query, body: bytes) -> Document:
    """Gather a request from where the model says that its members are."""
    members = operation.input_shape.members if operation.input_shape else {}
    request = {} if not body else parse(body)
    for member, shape in members.items():
        place, name = shape.serialization.get("location"), shape.serialization.get("name", member)
        if place == "uri":
            request[member] = named[name]
        elif place == "querystring" and name in query:
            request[member] = _value(query[name], shape)
    return request


def _value(given: Any, shape: Shape) -> Any:
    values = given if isinstance(given, list) else [given]
    if shape.type_name == "list":
        return values
    if shape.type_name in ("integer", "long"):
        if not str(values[0]).isdecimal():
            raise ServiceError(INVALID, f"{values[0]!r} is no number")
        return int(values[0])
    return values[0]
