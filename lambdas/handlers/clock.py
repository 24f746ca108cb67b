"""The time, as the middleware keeps it: in UTC, and of one length, so that texts sort as times do."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """Return the time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
