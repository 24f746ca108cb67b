"""Lists in pages: the token is the place in the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from atelier.cloud.services.wire import Document, ServiceError

Entry = TypeVar("Entry")


def page(entries: Sequence[Entry], request: Document, limit: int) -> tuple[Sequence[Entry], str | None]:
    """Return the page that *request* asks for, and the token of the next one."""
    token = request.get("nextToken", "0")
    if not token.isdecimal() or int(token) > len(entries):
        raise ServiceError("InvalidNextTokenException", f"{token} is no token of this list")
    start = int(token)
    end = start + min(request.get("maxResults", limit), limit)
    return entries[start:end], str(end) if end < len(entries) else None
