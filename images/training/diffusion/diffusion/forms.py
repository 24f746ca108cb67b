"""A JSON object, read field by field: strictly, and with names in every complaint."""

from collections.abc import Sequence
from typing import Any

from diffusion.errors import Invalid


class Form:
    """The fields of one JSON object; what nobody read is left over. Null is as good as absent."""

    def __init__(self, given: object, name: str = "") -> None:
        if not isinstance(given, dict):
            raise Invalid(f"{name or 'the body'} must be a JSON object")
        self._left = {key: value for key, value in given.items() if value is not None}
        self._prefix = f"{name}." if name else ""

    def take(self, name: str) -> Any:
        """Return the value of a field, or None."""
        return self._left.pop(name, None)

    def left(self) -> dict[str, Any]:
        """Return the fields that nobody read."""
        return dict(self._left)

    def wrong(self, name: str, expected: str) -> Invalid:
        """Return the complaint that a field is not what it may be."""
        return Invalid(f"{self._prefix}{name} must be {expected}")

    def text(self, name: str, *, longest: int, default: str | None = None) -> str:
        """Read a text."""
        value = self.take(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or len(value) > longest or not _is_unicode(value):
            raise self.wrong(name, f"a text of at most {longest} characters")
        return value

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        """Read a whole number."""
        value = self.take(name)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(name, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float, default: float) -> float:
        """Read a number."""
        value = self.take(name)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.wrong(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """Read true or false."""
        value = self.take(name)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """Read one of a few words."""
        value = self.take(name)
        if value not in choices:
            raise self.wrong(name, f"one of {', '.join(choices)}")
        return str(value)

    def close(self) -> None:
        """Refuse what nobody read."""
        if self._left:
            raise Invalid(
                f"unknown field {', '.join(f'{self._prefix}{each}' for each in sorted(self._left))}"
            )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
