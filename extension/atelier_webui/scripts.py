"""The scripts of the WebUI: which of them would do something with a form.

What they do is done here, on a machine with the model: the cloud knows nothing of it. How a script says that
it is switched on is nobody's rule but nearly everybody's custom: its first control is a box to tick, or what
it is given are units that are enabled each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HARMLESS = frozenset({"Comments", "Extra options", "Refiner", "Sampler", "Seed"})
"""What these are told stands in the form itself."""


def selected(runner: Any, args: Sequence[Any]) -> str | None:
    """Return the title of the selectable script (X/Y/Z plot and such) that a ScriptRunner would run."""
    number = args[0] if args else None
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        return None
    listed = list(getattr(runner, "selectable_scripts", ()))
    return _title(listed[number - 1]) if number <= len(listed) else f"script {number}"


def active(runner: Any, args: Sequence[Any]) -> list[str]:
    """Return the titles of the always visible scripts that are switched on, with the units that are."""
    return [name for script in getattr(runner, "alwayson_scripts", ()) for name in _switched_on(script, args)]


def _switched_on(script: Any, args: Sequence[Any]) -> Iterator[str]:
    title = _title(script)
    given = args[getattr(script, "args_from", None) or 0 : getattr(script, "args_to", None) or 0]
    if title in HARMLESS or not given:
        return
    if given[0] is True:
        yield title
        return
    for number, each in enumerate(given, start=1):
        if _is_enabled(each):
            yield f"{title} unit {number}"


def _is_enabled(unit: Any) -> bool:
    """Say whether what a script is given is a unit that takes part."""
    if isinstance(unit, Mapping):
        return unit.get("enabled") is True
    return getattr(unit, "enabled", None) is True


def _title(script: Any) -> str:
    return str(script.title())
