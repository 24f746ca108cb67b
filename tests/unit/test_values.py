"""A value is a frozen dataclass made of keyword arguments, whoever wrote its methods."""

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, field, fields, is_dataclass, replace

import pytest

from atelier.contract.values import Value


class Brush(Value):
    """A brush."""

    size: int
    name: str = "round"
    secret: str = field(default="", repr=False)
    tags: list[str] = field(default_factory=list)


class Wet(Brush):
    """A brush with paint."""

    paint: str = "red"


def test_a_value_has_what_it_is_given_and_defaults_for_the_rest():
    brush = Brush(size=3)

    assert (3, "round", []) == (brush.size, brush.name, brush.tags)
    assert Brush(size=3).tags is not brush.tags


def test_a_value_is_a_dataclass():
    assert is_dataclass(Brush)
    assert ["size", "name", "secret", "tags", "paint"] == [each.name for each in fields(Wet)]
    assert {"size": 1, "name": "flat", "secret": "", "tags": [], "paint": "red"} == asdict(
        Wet(size=1, name="flat")
    )


def test_values_are_equal_when_their_class_and_members_are():
    assert Brush(size=1) == Brush(size=1)
    assert Brush(size=1) != Brush(size=2)
    assert Brush(size=1) != Wet(size=1)
    assert Brush(size=1) != {"size": 1}


def test_equal_values_are_one_key():
    key = Brush(size=1, tags=())

    assert {key: "found"}[Brush(size=1, tags=())] == "found"


def test_a_change_is_another_value():
    brush = Brush(size=1)

    assert Brush(size=2) == replace(brush, size=2)
    assert 1 == brush.size
    with pytest.raises(FrozenInstanceError, match=r"Brush\.size cannot be assigned to"):
        brush.size = 2
    with pytest.raises(FrozenInstanceError, match=r"Brush\.size cannot be deleted"):
        del brush.size


@pytest.mark.parametrize(
    ("given", "words"), [({}, "Brush needs size"), ({"size": 1, "sise": 2, "b": 3}, "Brush has no b, sise")]
)
def test_members_that_are_missing_or_unknown_are_named(given, words):
    with pytest.raises(TypeError, match=words):
        Brush(**given)


def test_members_have_names():
    with pytest.raises(TypeError):
        Brush(1)


def test_what_is_not_to_be_shown_is_not_shown():
    assert "Brush(size=1, name='round', tags=[])" == repr(Brush(size=1, secret="s3cret"))


def test_a_value_is_copied_as_it_is():
    brush = Wet(size=1, tags=["a"])

    assert brush == copy.deepcopy(brush)
    assert brush == pickle.loads(pickle.dumps(brush))
