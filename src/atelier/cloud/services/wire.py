"""The form of a local AWS service: operations, checked against botocore's service model.

A service module holds one `Service` and decorates one function per operation:

    SERVICE = Service("codecommit", actions="codecommit")

    @SERVICE.operation("GetRepository", on=repository_arn)
    def get_repository(cloud: Cloud, request: Document) -> Document: ...

What is not decorated is refused by name. `Service.answer` validates the request (types, required and
unknown members, lengths, ranges, patterns, enumerations) before the function sees it, and authorises the
caller on the ARN that *on* derives from the request.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

from atelier.cloud.context import Cloud, Refused

Document = dict[str, Any]
Handler = Callable[[Cloud, Document], Document | None]
Target = Callable[[Cloud, Document], str | Iterable[str]]
Response = tuple[int, dict[str, str], bytes]

logger = logging.getLogger(__name__)


class ServiceError(Exception):
    """An error that the service's model declares; *code* is its shape's name."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True)
class Operation:
    """One implemented operation."""

    name: str
    handler: Handler
    on: Target


@dataclass
class Service:
    """One AWS service of the JSON protocol.

    *model* names botocore's model and *actions* the IAM prefix. *start* runs once when the cloud is up (to
    take up again what a stop interrupted), *stop* before it goes down.
    """

    model: str
    actions: str
    start: Callable[[Cloud], None] | None = None
    stop: Callable[[Cloud], None] | None = None
    operations: dict[str, Operation] = field(default_factory=dict)

    def operation(self, name: str, *, on: Target) -> Callable[[Handler], Handler]:
        """Register the decorated function as *name*, authorised on the ARNs that *on* returns."""

        def register(handler: Handler) -> Handler:
            self.operations[name] = Operation(name, handler, on)
            return handler

        return register

    @cached_property
    def shapes(self) -> ServiceModel:
        """The service's model, as botocore ships it."""
        return ServiceModel(Loader().load_service_model(self.model, "service-2"), self.model)

    def answer(self, cloud: Cloud, name: str, body: bytes) -> Response:
        """Answer one request of the JSON protocol; every failure becomes the error an SDK expects."""
        try:
            request = parse(body)
            return self._reply(200, self.call(cloud, name, request))
        except ServiceError as error:
            return self._reply(error.status, {"__type": error.code, "message": str(error)})
        except Refused as error:
            return self._reply(400, {"__type": "ValidationException", "message": str(error)})
        except Exception:  # the edge: the text of an unexpected error stays in the log
            logger.exception("%s.%s failed", self.model, name)
            return self._reply(500, {"__type": "InternalFailure", "message": "see `atelier logs`"})

    def call(self, cloud: Cloud, name: str, request: Document) -> Document:
        """Validate, authorise and run one operation in this process; raise ServiceError."""
        operation = self.operations.get(name)
        if operation is None:
            known = name in self.shapes.operation_names
            why = "is not part of the local cloud" if known else "is no operation of this service"
            raise ServiceError(
                "UnsupportedOperation" if known else "UnknownOperationException", f"{name} {why}"
            )
        shape = self.shapes.operation_model(name)
        request = accept(request, shape.input_shape)
        self._authorise(cloud, operation, request)
        return emit(operation.handler(cloud, request) or {}, shape.output_shape)

    def _authorise(self, cloud: Cloud, operation: Operation, request: Document) -> None:
        caller, action = cloud.identity.caller(), f"{self.actions}:{operation.name}"
        target = operation.on(cloud, request)
        for resource in [target] if isinstance(target, str) else target:
            if not cloud.identity.allows(caller, action, resource):
                message = f"User: {caller.arn} is not authorized to perform: {action} on resource: {resource}"
                raise ServiceError("AccessDeniedException", message)

    def _reply(self, status: int, document: Document) -> Response:
        version = self.shapes.metadata.get("jsonVersion", "1.1")
        headers = {"Content-Type": f"application/x-amz-json-{version}"}
        if "__type" in document:
            headers["x-amzn-errortype"] = document["__type"]
        return status, headers, json.dumps(document).encode()


def everything(_cloud: Cloud, _request: Document) -> str:
    """Authorise on ``*``: for operations that IAM gives no resource type."""
    return "*"


def parse(body: bytes) -> Document:
    """Parse a JSON request body."""
    try:
        document = json.loads(body or b"{}")
    except ValueError as error:
        raise ServiceError("SerializationException", f"the request body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ServiceError("SerializationException", "the request body is not a JSON object")
    return document


def accept(value: Document, shape: StructureShape | None) -> Document:
    """Return the request as functions read it (times as datetime), or raise what is wrong with it."""
    if shape is None:
        return value
    request: Document = _convert(value, shape, _time_in)
    report = ParamValidator().validate(request, shape).generate_report()
    problems = [report] if report else list(_constraints(request, shape, ""))
    if problems:
        raise ServiceError("ValidationException", "; ".join(problems))
    return request


def emit(value: Document, shape: StructureShape | None) -> Document:
    """Return the response as the wire has it: no None, times as seconds; refuse unknown members."""
    if shape is None:
        return {}
    response: Document = _convert(value, shape, _time_out, strict=True)
    return response


def _convert(value: Any, shape: Shape, time: Callable[[Any], Any], *, strict: bool = False) -> Any:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        if strict and (unknown := sorted(value.keys() - shape.members.keys())):
            raise TypeError(f"{shape.name} has no member {', '.join(unknown)}")
        return {
            key: _convert(each, shape.members[key], time, strict=strict) if key in shape.members else each
            for key, each in value.items()
            if each is not None
        }
    if isinstance(shape, ListShape) and isinstance(value, list | tuple):
        return [_convert(each, shape.member, time, strict=strict) for each in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _convert(each, shape.value, time, strict=strict) for key, each in value.items()}
    return time(value) if shape.type_name == "timestamp" else value


def _time_in(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return datetime.fromtimestamp(value, UTC) if is_number else value


def _time_out(value: Any) -> Any:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.timestamp() if isinstance(value, datetime) else value


def _constraints(value: Any, shape: Shape, where: str) -> Iterable[str]:
    """Name what botocore's own validator leaves to the service: enumerations, patterns, upper bounds."""
    if isinstance(shape, StructureShape):
        for key, each in value.items():
            yield from _constraints(each, shape.members[key], f"{where}.{key}".lstrip("."))
        return
    if isinstance(shape, ListShape):
        for index, each in enumerate(value):
            yield from _constraints(each, shape.member, f"{where}[{index}]")
    if isinstance(shape, MapShape):
        for key, each in value.items():
            yield from _constraints(key, shape.key, f"{where} (key {key})")
            yield from _constraints(each, shape.value, f"{where}.{key}")
    yield from _breaches(value, shape, where)


def _breaches(value: Any, shape: Shape, where: str) -> Iterable[str]:
    rules = shape.metadata
    if "enum" in rules and value not in rules["enum"]:
        yield f"{where}: {value!r} is not one of {', '.join(rules['enum'])}"
    if "max" in rules:
        size = value if isinstance(value, int | float) else len(value)
        if size > rules["max"]:
            yield f"{where}: at most {rules['max']}, got {size}"
    if "pattern" in rules and isinstance(value, str) and not _matches(rules["pattern"], value):
        yield f"{where}: {value!r} does not match {rules['pattern']}"


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value, re.DOTALL) is not None
    except re.error:  # some models hold Java's or PCRE's dialect; their constraint cannot be checked here
        return True
