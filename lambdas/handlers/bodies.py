"""What a client sends: read, checked against the contract's schema, and made a dataclass."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from atelier.contract.operations import Operation, Parameter
from atelier.contract.schema import build, schema_of
from atelier.lambdas.errors import ServiceError, TooLarge
from atelier.lambdas.handlers.words import INVALID, words

MOST_BREACHES = 10
SHORT = 16 * 1024
"""Characters of a body whose every breach is looked for; in a longer one the first is enough."""
MOST_REPEATS = 100
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
INTEGER = re.compile(r"-?[0-9]{1,18}")

Check = Callable[[Any], Any]


class InvalidRequest(ServiceError):
    """A request is not what the contract says; told without an envelope, as API Gateway tells it."""


def body(operation: Operation, event: Mapping[str, Any]) -> Any:
    """Return the body of a request as the operation's dataclass; None when it has none."""
    kind = operation.body
    if kind is None:
        return None
    sent = text(event, operation.largest_body) or "{}"
    document = parse(sent)
    if breaches := list(_breaches(kind, document, is_short=len(sent) <= SHORT)):
        raise InvalidRequest(f"[{', '.join(breaches)}]")
    return build(kind, document)


def query(operation: Operation, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the query that the operation knows, with their defaults."""
    given = _given(event)
    return {each.name: _parameter(each, given.get(each.name) or []) for each in operation.query}


def text(event: Mapping[str, Any], largest: int) -> str:
    """Return the text of a request's body; refuse one that is longer than *largest* bytes."""
    sent = event.get("body") or ""
    if len(sent) > 2 * largest:
        raise TooLarge("Request Entity Too Large")
    try:
        raw = base64.b64decode(sent, validate=True) if event.get("isBase64Encoded") else sent.encode()
        if len(raw) > largest:
            raise TooLarge("Request Entity Too Large")
        return raw.decode()
    except (binascii.Error, UnicodeError) as error:
        raise InvalidRequest(INVALID) from error


def parse(document: str) -> Any:
    """Read JSON, more strictly than Python: finite numbers, whole characters, no member twice."""
    try:
        value = json.loads(document, object_pairs_hook=_object, parse_constant=_finite, parse_float=_finite)
        if "\\ud" in document.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(INVALID) from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(members := dict(pairs)) < len(pairs):
        raise InvalidRequest("object has the same property more than once")
    return members


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(number)
    return value


def _given(event: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    if several := event.get("multiValueQueryStringParameters"):
        return {name: list(values) for name, values in several.items()}
    return {name: [value] for name, value in (event.get("queryStringParameters") or {}).items()}


def _parameter(parameter: Parameter, given: Sequence[str]) -> Any:
    values = [_value(parameter, each) for each in given if each or _is_number(parameter)]
    if len(values) > MOST_REPEATS:
        raise InvalidRequest(f"query parameter {parameter.name} is there too often")
    if parameter.repeated:
        return tuple(values)
    return values[-1] if values else parameter.default


def _is_number(parameter: Parameter) -> bool:
    return bool(schema_of(parameter.type)["type"] == "integer")


def _value(parameter: Parameter, given: str) -> Any:
    value: Any = int(given) if _is_number(parameter) and INTEGER.fullmatch(given) else given
    if breaches := list(_breaches(parameter.type, value, is_short=True)):
        raise InvalidRequest(f"query parameter {parameter.name}: [{', '.join(breaches)}]")
    return value


def _breaches(hint: Any, value: Any, *, is_short: bool) -> Iterator[str]:
    """Say the breaches of a schema, up to a number that a person may read."""
    from fastjsonschema import JsonSchemaValueException, JsonSchemaValuesException

    try:
        _check(hint, is_short)(value)
    except JsonSchemaValueException as first:
        yield words(str(first.rule), first.definition, first.value)
    except JsonSchemaValuesException as errors:
        for each in errors.errors[:MOST_BREACHES]:
            yield words(str(each.rule), each.definition, each.value)


@cache
def _check(hint: Any, finds_all: bool) -> Check:
    """Compile the check of a body when it is first needed: a function answers few operations."""
    import fastjsonschema

    document = {"$schema": "http://json-schema.org/draft-04/schema#", **schema_of(hint)}
    formats = {"uuid": lambda value: UUID.fullmatch(value) is not None}
    check: Check = fastjsonschema.compile(
        document, formats=formats, use_default=False, fast_fail=not finds_all
    )
    return check
