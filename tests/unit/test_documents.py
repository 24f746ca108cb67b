from dataclasses import dataclass, field

import pytest

from atelier.contract.api.completions import CompletionRequest
from atelier.contract.documents import Invalid, dump, load, parse, schema


@dataclass(frozen=True)
class Sheet:
    """A document with a member of every kind."""

    title: str = field(metadata={"minLength": 1, "maxLength": 5})
    size: int = field(default=1, metadata={"minimum": 1, "maximum": 9})
    scale: float = 1.0
    is_done: bool = False
    lines: list[str] | None = field(default=None, metadata={"maxItems": 2, "items": {"type": "string"}})
    notes: dict[str, str] = field(default_factory=dict)


def test_a_document_becomes_its_class():
    assert Sheet("a", 3, 2, True, ["x"], {"k": "v"}) == parse(
        Sheet, {"title": "a", "size": 3, "scale": 2, "is_done": True, "lines": ["x"], "notes": {"k": "v"}}
    )


def test_what_may_be_left_out_has_its_default():
    assert Sheet("a") == parse(Sheet, {"title": "a"})


def test_what_is_dumped_loads_again():
    assert Sheet("a", lines=[]) == load(Sheet, dump(Sheet("a", lines=[])))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "title is missing"),
        ({"title": 1}, "title must be a string"),
        ({"title": ""}, "title must have at least 1 characters"),
        ({"title": "abcdef"}, "title must have at most 5 characters"),
        ({"title": "a", "size": "7"}, "size must be an integer"),
        ({"title": "a", "size": 7.5}, "size must be an integer"),
        ({"title": "a", "size": True}, "size must be an integer"),
        ({"title": "a", "size": 0}, "size must be at least 1"),
        ({"title": "a", "size": 10}, "size must be at most 9"),
        ({"title": "a", "scale": "x"}, "scale must be a number"),
        ({"title": "a", "is_done": 1}, "is_done must be a boolean"),
        ({"title": "a", "lines": "x"}, "lines must be an array"),
        ({"title": "a", "lines": ["x", "y", "z"]}, "lines must have at most 2 items"),
        ({"title": "a", "lines": ["x", 1]}, r"lines\[1\] must be a string"),
        ({"title": "a", "notes": []}, "notes must be an object"),
        ({"title": "a", "colour": "red"}, "colour is not known"),
        ([], "expected an object with title"),
        (None, "expected an object"),
    ],
)
def test_a_breach_is_named(document, words):
    with pytest.raises(Invalid, match=words):
        parse(Sheet, document)


def test_every_breach_is_named_at_once():
    with pytest.raises(Invalid) as caught:
        parse(Sheet, {"size": 0, "colour": "red"})

    assert "colour is not known; title is missing; size must be at least 1" == str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"title": }', '{"title": NaN}', '{"a":' * 100_000])
def test_text_that_is_not_json_says_so(text):
    with pytest.raises(Invalid, match="not JSON"):
        load(Sheet, text)


def test_the_schema_says_what_parsing_checks():
    assert {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": "Sheet",
        "type": "object",
        "properties": {
            "title": {"type": "string", "minLength": 1, "maxLength": 5},
            "size": {"type": "integer", "minimum": 1, "maximum": 9},
            "scale": {"type": "number"},
            "is_done": {"type": "boolean"},
            "lines": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
            "notes": {"type": "object"},
        },
        "required": ["title"],
        "additionalProperties": False,
    } == schema(Sheet)


def test_a_completion_needs_nothing_but_a_prompt():
    assert ["prompt"] == schema(CompletionRequest)["required"]
