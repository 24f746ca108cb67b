"""Bodies as dataclasses: their JSON Schema, and the way from JSON to an instance and back.

A member's constraints stand in its annotation: ``Annotated[str, Text(min=1)]``. ``x: str | None = None`` may
be left out but never be null; ``x: str | None`` is always there and may be null. One member of type ``Rest``
makes an object open: it holds whatever members the class does not name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

Instance = TypeVar("Instance")

KINDS: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


class Constraint:
    """What JSON Schema says of a value, by keyword; plain classes, since every cold start makes them."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = {name: each for name, each in keywords.items() if each is not None}


class Text(Constraint):
    """What a string may be."""

    def __init__(
        self,
        *,
        min: int | None = None,
        max: int | None = None,
        pattern: str | None = None,
        format: str | None = None,
    ) -> None:
        super().__init__(minLength=min, maxLength=max, pattern=pattern, format=format)


class Number(Constraint):
    """What a number may be; *whole* takes 2.0 for 2, where the type is number, and refuses 2.5."""

    def __init__(self, *, min: int | None = None, max: int | None = None, whole: bool = False) -> None:
        super().__init__(minimum=min, maximum=max, multipleOf=1 if whole else None)


class Items(Constraint):
    """How many items an array may have."""

    def __init__(self, *, min: int | None = None, max: int | None = None) -> None:
        super().__init__(minItems=min, maxItems=max)


class Members(Constraint):
    """How many members a free-form object may have."""

    def __init__(self, *, min: int | None = None, max: int | None = None) -> None:
        super().__init__(minProperties=min, maxProperties=max)


class About(Constraint):
    """What a member means, for who reads the API's document."""

    def __init__(self, text: str) -> None:
        super().__init__(description=text)


class _Open:
    """Marks the member that holds what its class does not name."""


Rest: TypeAlias = Annotated[Mapping[str, Any], _Open]
"""The type of the one member that holds whatever other members an object has."""


def schema(cls: type[Any], *, closed: bool = False) -> dict[str, Any]:
    """Return the JSON Schema of *cls*; when *closed*, no member that it does not name may be there."""
    members = _members(cls)
    document: dict[str, Any] = {
        "type": "object",
        "description": (cls.__doc__ or "").strip().split("\n")[0],
        "properties": {name: _property(each, closed) for name, each in members.items() if not each.is_rest},
    }
    if required := [name for name, each in members.items() if each.is_required]:
        document["required"] = required
    if closed or _rest(members):
        document["additionalProperties"] = bool(_rest(members))
    return document


def schema_of(hint: Any, *, closed: bool = False) -> dict[str, Any]:
    """Return the JSON Schema of any annotation that a member may have."""
    if get_origin(hint) is Annotated:
        kind, *constraints = get_args(hint)
        document = schema_of(kind, closed=closed)
        for each in constraints:
            document |= each.keywords if isinstance(each, Constraint) else {}
        return document
    if isinstance(hint, type) and is_dataclass(hint):
        return schema(hint, closed=closed)
    return _plain(hint, closed)


def build(cls: type[Instance], document: Mapping[str, Any]) -> Instance:
    """Make an instance of *cls* from a document that its schema accepts; what it does not name is Rest."""
    members = _members(cls)
    known = {name: each for name, each in document.items() if _has(members, name)}
    named = {name: _value(members[name].hint, each) for name, each in known.items()}
    if rest := _rest(members):
        named[rest] = {name: each for name, each in document.items() if name not in named}
    return cls(**named)


def dump(instance: Any) -> Any:
    """Return *instance* as its JSON document; what may be left out and is None, is left out."""
    if isinstance(instance, Mapping):
        return {key: dump(each) for key, each in instance.items()}
    if isinstance(instance, (list, tuple)):
        return [dump(each) for each in instance]
    if not is_dataclass(instance):
        return instance
    document: dict[str, Any] = {}
    for name, member in _members(type(instance)).items():
        value = getattr(instance, name)
        if member.is_rest:
            document = {**value, **document}
        elif value is not None or member.is_required:
            document[name] = dump(value)
    return document


class _Member(NamedTuple):
    """A member of a body: its annotation without what only says that it may be left out."""

    hint: Any
    is_required: bool
    is_nullable: bool
    is_rest: bool


def _members(cls: Any) -> dict[str, _Member]:
    return _read(cls)


@cache
def _read(cls: Any) -> dict[str, _Member]:
    hints = get_type_hints(cls, include_extras=True)
    return {each.name: _member(hints[each.name], each) for each in fields(cls)}


def _member(hint: Any, field: Field[Any]) -> _Member:
    is_required = field.default is MISSING and field.default_factory is MISSING
    is_rest = _Open in get_args(hint)
    kinds = [each for each in _choices(hint) if each is not NoneType]
    is_nullable = is_required and NoneType in _choices(hint)
    return _Member(kinds[0], is_required and not is_rest, is_nullable, is_rest)


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)


def _rest(members: Mapping[str, _Member]) -> str | None:
    return next((name for name, each in members.items() if each.is_rest), None)


def _has(members: Mapping[str, _Member], name: str) -> bool:
    return name in members and not members[name].is_rest


def _property(member: _Member, closed: bool) -> dict[str, Any]:
    nullable = {"nullable": True} if member.is_nullable else {}
    return {**schema_of(member.hint, closed=closed), **nullable}


def _plain(hint: Any, closed: bool) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return {}
    if origin is Literal:
        return {"type": KINDS[type(arguments[0])], "enum": list(arguments)}
    if origin in {list, tuple}:
        return {"type": "array", "items": schema_of(arguments[0], closed=closed)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1], closed=closed) or True}
    return {"type": KINDS[hint]}


def _value(hint: Any, document: Any) -> Any:
    """Return what stands in a document as the value that its annotation names."""
    origin, arguments = get_origin(hint), get_args(hint)
    if document is None or hint is Any:
        return document
    if origin is Annotated:
        return _value(arguments[0], document)
    if isinstance(hint, type) and is_dataclass(hint):
        return build(hint, document)
    if origin in {list, tuple}:
        return origin(_value(arguments[0], each) for each in document)
    if origin is not None and origin is not Literal:
        return {key: _value(arguments[1], each) for key, each in document.items()}
    return document


UUID = Text(format="uuid")
"""A UUID as its 36 characters."""
