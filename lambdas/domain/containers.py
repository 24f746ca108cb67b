"""What containers say when they refuse."""

from __future__ import annotations

import json

MEMBERS = ("message", "error", "detail")
"""Where servers of models put their words."""


def said(words: str) -> str:
    """Return what a container said: text, or the member of a JSON object that holds it."""
    try:
        document = json.loads(words)
    except (ValueError, RecursionError):
        return words.strip()
    found = document if isinstance(document, dict) else {}
    return next((found[each] for each in MEMBERS if isinstance(found.get(each), str)), words.strip())
