from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from atelier.contract.operations import OPERATIONS
from atelier.contract.schema import UUID, Items, Members, Number, Rest, Text, build, dump, schema


@dataclass(frozen=True, kw_only=True)
class Brush:
    """A brush."""

    name: Annotated[str, Text(min=1, max=20, pattern="^[a-z]+$")]
    hairs: Annotated[int, Number(min=1, max=9)] = 5


@dataclass(frozen=True, kw_only=True)
class Box:
    """What brushes lie in."""

    id: Annotated[str, UUID]
    kind: Literal["wood", "tin"]
    brushes: Annotated[tuple[Brush, ...], Items(min=1, max=3)]
    is_full: bool
    price: Annotated[float, Number(min=0, whole=True)] | None = None
    owner: str | None
    labels: Annotated[Mapping[str, tuple[str, ...]], Members(max=2)] | None = None
    notes: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Drawer:
    """A drawer with anything in it."""

    name: str
    more: Rest = field(default_factory=dict)


BOX = {
    "id": "0a1b2c3d-0000-4000-8000-000000000000",
    "kind": "tin",
    "brushes": [{"name": "flat", "hairs": 7}, {"name": "round", "hairs": 5}],
    "is_full": False,
    "owner": None,
}


def test_constraints_become_the_keywords_of_a_schema():
    brush = {
        "type": "object",
        "description": "A brush.",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 20, "pattern": "^[a-z]+$"},
            "hairs": {"type": "integer", "minimum": 1, "maximum": 9},
        },
        "required": ["name"],
    }

    assert brush == schema(Brush)
    assert {
        "type": "object",
        "description": "What brushes lie in.",
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "kind": {"type": "string", "enum": ["wood", "tin"]},
            "brushes": {"type": "array", "items": brush, "minItems": 1, "maxItems": 3},
            "is_full": {"type": "boolean"},
            "price": {"type": "number", "minimum": 0, "multipleOf": 1},
            "owner": {"type": "string", "nullable": True},
            "labels": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": {"type": "string"}},
                "maxProperties": 2,
            },
            "notes": {"type": "object", "additionalProperties": True},
        },
        "required": ["id", "kind", "brushes", "is_full", "owner"],
    } == schema(Box)


def test_a_closed_schema_takes_no_other_member_at_any_depth():
    closed = schema(Box, closed=True)

    assert closed["additionalProperties"] is False
    assert closed["properties"]["brushes"]["items"]["additionalProperties"] is False


def test_a_rest_keeps_an_object_open():
    assert schema(Drawer, closed=True)["additionalProperties"] is True
    assert ["name"] == list(schema(Drawer)["properties"])


def test_a_document_becomes_an_instance_and_the_same_document_again():
    box = build(Box, BOX)

    assert (Brush(name="flat", hairs=7), Brush(name="round")) == box.brushes
    assert BOX == dump(box)


def test_members_without_a_name_are_dropped_unless_there_is_a_rest():
    assert Brush(name="flat") == build(Brush, {"name": "flat", "colour": "red"})
    assert {"colour": "red"} == build(Drawer, {"name": "top", "colour": "red"}).more
    assert {"name": "top", "colour": "red"} == dump(Drawer(name="top", more={"colour": "red"}))


def test_a_rest_cannot_hide_a_named_member():
    assert {"name": "top"} == dump(Drawer(name="top", more={"name": "bottom"}))


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda each: each.id)
def test_every_class_of_the_table_has_a_schema(operation):
    kinds = [operation.body, *operation.responses.values()]

    assert all(schema(each)["type"] == "object" for each in kinds if isinstance(each, type))
