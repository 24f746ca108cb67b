"""What the cloud can do of all that the WebUI's form may ask for."""

from __future__ import annotations

from typing import Any

OWN_IMAGE: frozenset[str] = frozenset()
"""What Atelier's own image does, by the names of the table below."""

EVERYTHING: frozenset[str] = frozenset()
"""For an endpoint with an image of one's own, which says itself what it cannot do."""


def selected_script(runner: Any, args: Any) -> str | None:
    """Return the title of the selectable script (X/Y/Z plot and such) that a ScriptRunner would run."""
    raise NotImplementedError


def active_scripts(runner: Any, args: Any) -> list[str]:
    """Return the titles of the always visible scripts that are switched on, ControlNet's units among them."""
    raise NotImplementedError
