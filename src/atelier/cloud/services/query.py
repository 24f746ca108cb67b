"""EC2's protocol: requests as forms, answers as XML; the names on the wire come from botocore's model."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.model import ListShape, Shape, StructureShape

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.wire import Document, Response, Service, ServiceError

Fields = dict[str, Any]
"""What a form holds, by the parts of its keys: ``{"Filter": {"1": {"Name": "x"}}}``."""

CODES = {
    "AccessDeniedException": "UnauthorizedOperation",
    "ValidationException": "InvalidParameterValue",
    "UnknownOperationException": "InvalidAction",
}
"""What EC2 calls errors that are the same everywhere."""

logger = logging.getLogger(__name__)


def answer(service: Service, cloud: Cloud, body: bytes) -> Response:
    """Answer one request; every failure becomes the error that an SDK expects."""
    form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    name = form.pop("Action", "")
    try:
        answered = service.call(cloud, name, request(service, name, form))
        return _sent(200, _response(service, name, answered))
    except ServiceError as error:
        return refuse(error.code, str(error), error.status)
    except Refused as error:
        return refuse("UnsupportedOperation", str(error), 400)
    except Exception:  # the edge: the text of an unexpected error stays in the log
        logger.exception("%s.%s failed", service.model, name)
        return refuse("InternalError", "see `atelier logs`", 500)


def refuse(code: str, message: str, status: int) -> Response:
    """Return an error as EC2 says it."""
    error = f"<Error><Code>{escape(CODES.get(code, code))}</Code><Message>{escape(message)}</Message></Error>"
    body = f"<Response><Errors>{error}</Errors><RequestID>{uuid.uuid4()}</RequestID></Response>"
    return _sent(status, body.encode())


def _sent(status: int, body: bytes) -> Response:
    return status, {"Content-Type": "text/xml;charset=UTF-8"}, body


def request(service: Service, name: str, form: Mapping[str, str]) -> Document:
    """Return a form as the model's document; raise ServiceError for a field that it does not have."""
    if name not in service.operations:
        return {}
    shape = service.shapes.operation_model(name).input_shape
    fields = _fields({key: value for key, value in form.items() if key != "Version"})
    read: Document = _read(fields, shape, "") if shape else {}
    return read


def _fields(form: Mapping[str, str]) -> Fields:
    found: Fields = {}
    for key, value in form.items():
        *folders, last = key.split(".")
        place = found
        for each in folders:
            place = place.setdefault(each, {})
            if not isinstance(place, dict):
                raise ServiceError("InvalidParameterValue", f"{key} is both a value and a structure")
        place[last] = value
    return found


def _read(value: Any, shape: Shape, where: str) -> Any:
    if isinstance(shape, StructureShape):
        members = {_wire_name(member, name): name for name, member in shape.members.items()}
        if not isinstance(value, dict) or (unknown := sorted(value.keys() - members.keys())):
            odd = f"{where}.{unknown[0]}".lstrip(".") if isinstance(value, dict) else where
            raise ServiceError("UnknownParameter", f"The parameter {odd} is not recognized")
        return {
            members[key]: _read(each, shape.members[members[key]], f"{where}.{key}".lstrip("."))
            for key, each in value.items()
        }
    if isinstance(shape, ListShape):
        return [_read(each, shape.member, f"{where}.{key}") for key, each in _numbered(value, where)]
    return _scalar(value, shape, where)


def _numbered(value: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict) or not all(key.isdecimal() for key in value):
        raise ServiceError("InvalidParameterValue", f"{where} is a list: {where}.1, {where}.2 and so on")
    return sorted(value.items(), key=lambda each: int(each[0]))


def _wire_name(shape: Shape, name: str) -> str:
    given = shape.serialization
    if "queryName" in given:
        return str(given["queryName"])
    wire = str(given.get("name", name))
    return wire[0].upper() + wire[1:]


def _scalar(value: Any, shape: Shape, where: str) -> Any:
    if isinstance(value, dict):
        raise ServiceError("InvalidParameterValue", f"{where} is a value, not a structure")
    if shape.type_name == "boolean":
        if value.lower() not in ("true", "false"):
            raise ServiceError("InvalidParameterValue", f"{where}: {value!r} is neither true nor false")
        return value.lower() == "true"
    try:
        if shape.type_name in ("integer", "long"):
            return int(value)
        return float(value) if shape.type_name in ("double", "float") else value
    except ValueError as error:
        raise ServiceError("InvalidParameterValue", f"{where}: {value!r} is no number") from error


def _response(service: Service, name: str, document: Document) -> bytes:
    shape = service.shapes.operation_model(name).output_shape
    inside = "".join(_written(document, shape)) if shape else "<return>true</return>"
    space = f"http://ec2.amazonaws.com/doc/{service.shapes.api_version}/"
    head = f"<requestId>{uuid.uuid4()}</requestId>"
    return f'<{name}Response xmlns="{space}">{head}{inside}</{name}Response>'.encode()


def _written(value: Any, shape: Shape) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        for key, each in value.items():
            member = shape.members[key]
            tag = member.serialization.get("name", key)
            yield f"<{tag}>{''.join(_written(each, member))}</{tag}>"
    elif isinstance(shape, ListShape):
        tag = shape.member.serialization.get("name", "item")
        for each in value:
            yield f"<{tag}>{''.join(_written(each, shape.member))}</{tag}>"
    else:
        yield escape(_text(value, shape))


def _text(value: Any, shape: Shape) -> str:
    if shape.type_name == "timestamp" and isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps(value) if isinstance(value, bool | int | float) else str(value)
