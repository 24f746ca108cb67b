"""The form of a CloudFormation resource type of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from atelier.cloud.context import Cloud, Refused


@dataclass(frozen=True, kw_only=True)
class Request:
    """What CloudFormation asks of a resource type: the resource's place and its resolved properties."""

    stack: str
    logical_id: str
    properties: Mapping[str, Any]
    name: str
    """A physical name for a resource that is given none, stable for the stack and the logical id."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a resource type made: what Ref returns, and what GetAtt returns by attribute."""

    ref: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """One CloudFormation type.

    *update* gets the physical id and the new properties; a new `Made.ref` means a replacement, and
    CloudFormation deletes the old one. Unknown properties never get here: `properties` lists, by name, what
    the type reads, and everything else is refused.
    """

    type: str
    properties: frozenset[str]
    create: Callable[[Cloud, Request], Made]
    update: Callable[[Cloud, str, Request], Made]
    delete: Callable[[Cloud, str, Mapping[str, Any]], None]


def refuse_unknown(resource: ResourceType, properties: Mapping[str, Any]) -> None:
    """Raise Refused for a property that this type does not read."""
    if unknown := sorted(properties.keys() - resource.properties):
        names = ", ".join(f"{resource.type}.{name}" for name in unknown)
        raise Refused(f"Unsupported: {names} is not part of the local cloud")


def from_cloudformation(value: Any, shape: Shape, where: str) -> Any:
    """Rename a property tree's members to those of an API *shape*, from which they differ in case only.

    CloudFormation passes numbers and booleans as strings too; they become what the shape says. A member that
    the shape lacks raises Refused with its path.
    """
    if isinstance(shape, StructureShape):
        members = {name.lower(): name for name in shape.members}
        renamed = {}
        for key, each in value.items():
            if key.lower() not in members:
                raise Refused(f"Unsupported: {where}.{key} is not part of the local cloud")
            name = members[key.lower()]
            renamed[name] = from_cloudformation(each, shape.members[name], f"{where}.{key}")
        return renamed
    if isinstance(shape, ListShape):
        return [from_cloudformation(each, shape.member, where) for each in value]
    if isinstance(shape, MapShape):
        return {key: from_cloudformation(each, shape.value, f"{where}.{key}") for key, each in value.items()}
    return _scalar(value, shape)


def _scalar(value: Any, shape: Shape) -> Any:
    if shape.type_name == "boolean" and isinstance(value, str):
        return value.lower() == "true"
    if shape.type_name in {"integer", "long"} and isinstance(value, str):
        return int(value)
    if shape.type_name in {"double", "float"} and isinstance(value, str):
        return float(value)
    if shape.type_name == "string" and isinstance(value, int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value
