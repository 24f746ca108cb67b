"""Reading a dataclass from a JSON document: every breach is named, nothing is coerced."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, asdict, fields
from typing import Any, NoReturn, TypeVar, get_args, get_type_hints

Value = TypeVar("Value")

KINDS = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}

LIMITS: Mapping[str, tuple[Callable[[Any, Any], bool], str]] = {
    "minLength": (lambda value, limit: len(value) >= limit, "must have at least {} characters"),
    "maxLength": (lambda value, limit: len(value) <= limit, "must have at most {} characters"),
    "minItems": (lambda value, limit: len(value) >= limit, "must have at least {} items"),
    "maxItems": (lambda value, limit: len(value) <= limit, "must have at most {} items"),
    "minimum": (lambda value, limit: value >= limit, "must be at least {}"),
    "maximum": (lambda value, limit: value <= limit, "must be at most {}"),
}
"""JSON Schema's keywords that a member's metadata may use, with their meaning."""


class Invalid(ValueError):
    """A document is not what its class says; the text names every breach."""


def dump(value: Any) -> str:
    """Return a dataclass as one line of JSON."""
    return json.dumps(asdict(value))


def load(cls: type[Value], text: str) -> Value:
    """Read *cls* from JSON text."""
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise Invalid("not JSON that can be read: it is nested too deeply") from error
    except ValueError as error:
        raise Invalid(f"not JSON: {error}") from error
    return parse(cls, document)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def parse(cls: type[Value], document: Any) -> Value:
    """Read *cls* from a JSON document; raise Invalid with all that is wrong with it."""
    if not isinstance(document, dict):
        raise Invalid(f"expected an object with {', '.join(_members(cls))}")
    if problems := list(_problems(cls, document)):
        raise Invalid("; ".join(problems))
    return cls(**document)


def schema(cls: type[Any]) -> dict[str, Any]:
    """Return the JSON Schema (draft 4, as API Gateway's models are) of *cls*."""
    hints, members = get_type_hints(cls), _members(cls)
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": cls.__name__,
        "type": "object",
        "properties": {name: _property(hints[name], each.metadata) for name, each in members.items()},
        "required": [name for name, each in members.items() if _is_required(each)],
        "additionalProperties": False,
    }


def _members(cls: type[Any]) -> dict[str, Field[Any]]:
    return {each.name: each for each in fields(cls)}


def _is_required(member: Field[Any]) -> bool:
    return member.default is MISSING and member.default_factory is MISSING


def _kind(hint: Any) -> Any:
    """Return the plain type of an annotation: ``str | None`` is a string that may be left out."""
    kinds = [each for each in get_args(hint) if each is not type(None)]
    if getattr(hint, "__origin__", None) is not None:
        return hint.__origin__
    return _kind(kinds[0]) if kinds else hint


def _property(hint: Any, rules: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": KINDS[_kind(hint)], **rules}


def _problems(cls: type[Any], document: Mapping[str, Any]) -> Iterator[str]:
    hints, members = get_type_hints(cls), _members(cls)
    for name in sorted(document.keys() - members.keys()):
        yield f"{name} is not known"
    for name, member in members.items():
        if name in document:
            yield from _breaches(name, document[name], _property(hints[name], member.metadata))
        elif _is_required(member):
            yield f"{name} is missing"


def _breaches(name: str, value: Any, rules: Mapping[str, Any]) -> Iterator[str]:
    kind = rules["type"]
    if not _is_a(value, kind):
        yield f"{name} must be {'an' if kind[0] in 'aio' else 'a'} {kind}"
        return
    for keyword, (holds, words) in LIMITS.items():
        if keyword in rules and not holds(value, rules[keyword]):
            yield f"{name} {words.format(rules[keyword])}"
    for index, each in enumerate(value if "items" in rules else ()):
        yield from _breaches(f"{name}[{index}]", each, rules["items"])


def _is_a(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    accepted = {name: each for each, name in KINDS.items()}[kind]
    return isinstance(value, (int, float) if accepted is float else accepted)
