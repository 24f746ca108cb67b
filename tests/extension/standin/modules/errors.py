"""Errors, on the terminal."""

from __future__ import annotations

import sys
import traceback


def report(message: str, *, exc_info: bool = False) -> None:
    """Tell of an error."""
    print(f"*** {message}", file=sys.stderr)  # noqa: T201 - the terminal is where a WebUI tells of them
    if exc_info:
        traceback.print_exc()
