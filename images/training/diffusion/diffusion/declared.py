"""Declare settings with their bounds and meaning, and read them from a request strictly.

Numbers and true or false may come as texts: some forms and TOML files know nothing else.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, field, fields
from typing import Any, TypeVar

from diffusion.errors import Invalid

Declared = TypeVar("Declared")
Read = Callable[[object], Any]


def setting(read: Read, expected: str, default: Any, what: str) -> Any:
    """Declare a setting; one without a default must be given."""
    about = {"read": read, "expected": expected, "what": what}
    return field(metadata=about) if default is MISSING else field(default=default, metadata=about)


def whole(low: int, high: int, default: int | None, what: str) -> Any:
    """Declare a whole number."""

    def read(given: object) -> int:
        value = float(_number(given))
        return int(_within(value, low, high)) if value.is_integer() else _wrong()

    return setting(read, f"a whole number from {low} to {high}", default, what)


def number(low: float, high: float, default: float | None, what: str) -> Any:
    """Declare a number."""
    return setting(
        lambda given: _within(_number(given), low, high), f"a number from {low:g} to {high:g}", default, what
    )


def flag(default: bool, what: str) -> Any:
    """Declare something that is or is not so."""

    def read(given: object) -> bool:
        plain = given.strip().lower() if isinstance(given, str) else given
        words: dict[object, bool] = {"true": True, "false": False}
        return plain if isinstance(plain, bool) else words[plain]

    return setting(read, "true or false", default, what)


def choice(choices: Sequence[str], default: str, what: str) -> Any:
    """Declare one of a few words, which are compared without regard to case."""
    known = {each.lower(): each for each in choices}
    return setting(lambda given: known[str(given).lower()], f"one of {', '.join(choices)}", default, what)


def text(pattern: str, expected: str, default: Any, what: str) -> Any:
    """Declare a text."""

    def read(given: object) -> str:
        return given if isinstance(given, str) and re.fullmatch(pattern, given) else _wrong()

    return setting(read, expected, default, what)


def parse(kind: type[Declared], given: object, name: str) -> Declared:
    """Read an object of settings; what is unknown, missing or out of bounds is said by name."""
    if not isinstance(given, dict):
        raise Invalid(f"{name} must be a JSON object")
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    present = {key: value for key, value in given.items() if value is not None and value != ""}
    if unknown := sorted(set(present) - set(known)):
        listed = ", ".join(f"{name}.{each}" for each in unknown)
        raise Invalid(f"{listed} is not supported; known are {', '.join(known)}")
    for each in known.values():
        if each.default is MISSING and each.name not in present:
            raise Invalid(f"{name}.{each.name} is missing: {each.metadata['expected']}")
    return kind(**{key: _read(known[key], value, name) for key, value in present.items()})


def _read(declared: "Field[Any]", given: object, name: str) -> Any:
    try:
        return declared.metadata["read"](given)
    except (ValueError, KeyError, TypeError, OverflowError):
        shown = str(given)[:60]
        raise Invalid(
            f"{name}.{declared.name} must be {declared.metadata['expected']}, not {shown!r}"
        ) from None


def _number(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        _wrong()
    return float(given)


def _within(value: float, low: float, high: float) -> float:
    return value if low <= value <= high else _wrong()


def _wrong() -> Any:
    raise ValueError
