"""The query protocol and EC2's form of it: requests as forms, answers as XML, names as botocore has them."""

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

EC2 = "ec2"
CODES = {
    "AccessDeniedException": "UnauthorizedOperation",
    "ValidationException": "InvalidParameterValue",
    "UnknownOperationException": "InvalidAction",
}
"""What EC2 calls errors that are the same everywhere."""

QUERY_CODES = {
    "AccessDeniedException": "AccessDenied",
    "ValidationException": "ValidationError",
    "UnknownOperationException": "InvalidAction",
}
"""What the services of the plain query protocol call them."""

logger = logging.getLogger(__name__)


def answer(service: Service, cloud: Cloud, body: bytes) -> Response:
    """Answer one request; every failure becomes the error that an SDK expects."""
    form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    name, refused = form.pop("Action", ""), refuse if _is_ec2(service) else fault
    try:
        answered = service.call(cloud, name, request(service, name, form))
        return _sent(200, _response(service, name, answered))
    except ServiceError as error:
        return refused(error.code, str(error), error.status)
    except Refused as error:
        return refused("UnsupportedOperation", str(error), 400)
    except Exception:  # the edge: the text of an unexpected error stays in the log
        logger.exception("%s.%s failed", service.model, name)
        return refused("InternalError", "see `atelier logs`", 500)


def refuse(code: str, message: str, status: int) -> Response:
    """Return an error as EC2 says it."""
    error = f"<Error><Code>{escape(CODES.get(code, code))}</Code><Message>{escape(message)}</Message></Error>"
    body = f"<Response><Errors>{error}</Errors><RequestID>{uuid.uuid4()}</RequestID></Response>"
    return _sent(status, body.encode())


def fault(code: str, message: str, status: int) -> Response:
    """Return an error as the plain query protocol says it."""
    status = 403 if code == "AccessDeniedException" else status
    side = "Receiver" if status >= 500 else "Sender"
    inside = f"<Type>{side}</Type><Code>{escape(QUERY_CODES.get(code, code))}</Code>"
    body = f"<ErrorResponse><Error>{inside}<Message>{escape(message)}</Message></Error>"
    return _sent(status, f"{body}<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>".encode())


def _is_ec2(service: Service) -> bool:
    return bool(service.shapes.metadata["protocol"] == EC2)


def _sent(status: int, body: bytes) -> Response:
    return status, {"Content-Type": "text/xml;charset=UTF-8"}, body


def request(service: Service, name: str, form: Mapping[str, str]) -> Document:
    """Return a form as the model's document; raise ServiceError for a field that it does not have."""
    if name not in service.operations:
        return {}
    shape = service.shapes.operation_model(name).input_shape
    fields = _fields({key: value for key, value in form.items() if key != "Version"})
    read: Document = _read(fields, shape, "", EC2 if _is_ec2(service) else "query") if shape else {}
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


def _read(value: Any, shape: Shape, where: str, protocol: str) -> Any:
    if isinstance(shape, StructureShape):
        members = {_wire_name(member, name, protocol): name for name, member in shape.members.items()}
        if not isinstance(value, dict) or (unknown := sorted(value.keys() - members.keys())):
            odd = f"{where}.{unknown[0]}".lstrip(".") if isinstance(value, dict) else where
            raise ServiceError("UnknownParameter", f"The parameter {odd} is not recognized")
        return {
            members[key]: _read(each, shape.members[members[key]], f"{where}.{key}".lstrip("."), protocol)
            for key, each in value.items()
        }
    if isinstance(shape, ListShape):
        rows = _rows(value, shape, protocol)
        return [_read(each, shape.member, f"{where}.{key}", protocol) for key, each in _numbered(rows, where)]
    return _scalar(value, shape, where)


def _rows(value: Any, shape: ListShape, protocol: str) -> Any:
    """Return what holds a list's numbered rows: the plain protocol puts it a step deeper."""
    if protocol == EC2 or shape.serialization.get("flattened"):
        return value
    if value == "":  # how SDKs send a list without rows
        return {}
    name = shape.member.serialization.get("name", "member")
    return value[name] if isinstance(value, dict) and set(value) == {name} else value


def _numbered(value: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict) or not all(key.isdecimal() for key in value):
        raise ServiceError("InvalidParameterValue", f"{where} is a list: {where}.1, {where}.2 and so on")
    return sorted(value.items(), key=lambda each: int(each[0]))


def _wire_name(shape: Shape, name: str, protocol: str) -> str:
    given = shape.serialization
    if protocol != EC2:
        return str(given.get("name", name))
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
    if not _is_ec2(service):
        return _result(service, name, "".join(_written(document, shape, "member")) if shape else "")
    inside = "".join(_written(document, shape, "item")) if shape else "<return>true</return>"
    space = f"http://ec2.amazonaws.com/doc/{service.shapes.api_version}/"
    head = f"<requestId>{uuid.uuid4()}</requestId>"
    return f'<{name}Response xmlns="{space}">{head}{inside}</{name}Response>'.encode()


def _result(service: Service, name: str, inside: str) -> bytes:
    space = service.shapes.metadata["xmlNamespace"]
    result = f"<{name}Result>{inside}</{name}Result>"
    data = f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
    return f'<{name}Response xmlns="{space}">{result}{data}</{name}Response>'.encode()


def _written(value: Any, shape: Shape, row: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        for key, each in value.items():
            member = shape.members[key]
            tag = member.serialization.get("name", key)
            yield f"<{tag}>{''.join(_written(each, member, row))}</{tag}>"
    elif isinstance(shape, ListShape):
        tag = shape.member.serialization.get("name", row)
        for each in value:
            yield f"<{tag}>{''.join(_written(each, shape.member, row))}</{tag}>"
    else:
        yield escape(_text(value, shape))


def _text(value: Any, shape: Shape) -> str:
    if shape.type_name == "timestamp" and isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps(value) if isinstance(value, bool | int | float) else str(value)
