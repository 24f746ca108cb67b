"""Pages of a list, and the opaque key from which the next page goes on."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from itertools import islice
from typing import Any, Generic, TypeVar

from atelier.contract.values import Value
from atelier.lambdas.errors import Invalid

Item = TypeVar("Item")

LONGEST = 256
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?\+00:00")


class Cursor(Value):
    """The last item of a page: which list, when it was made and its id.

    A list's partition is never taken from it, so that a key made by hand shows nobody another list.
    """

    of: str
    at: str
    id: str

    def token(self) -> str:
        """Return the key that a client is given."""
        return base64.urlsafe_b64encode(json.dumps(asdict(self), separators=(",", ":")).encode()).decode()


class Page(Value, Generic[Item]):
    """Some items of a list; *last* is where the next page goes on, None at the end."""

    items: tuple[Item, ...]
    last: Cursor | None = None

    @property
    def token(self) -> str | None:
        """The key that a client is given."""
        return self.last.token() if self.last else None


def first(items: Iterable[Item], limit: int, *, of: str, at: Callable[[Item], tuple[str, str]]) -> Page[Item]:
    """Return a page of the first items, no more of which are read than it takes.

    *at* returns when an item was made and its id: the next page goes on after the last one.
    """
    found = tuple(islice(items, limit + 1))
    shown = found[:limit]
    if len(found) == len(shown):
        return Page(items=shown)
    time, id = at(shown[-1])
    return Page(items=shown, last=Cursor(of=of, at=time, id=id))


def cursor(token: str | None, *, of: str) -> Cursor | None:
    """Read a client's key to the list *of*; refuse one that is broken, or another list's."""
    if not token:
        return None
    members = _members(token)
    if members is None or not TIME.fullmatch(members["at"]) or members["of"] != of:
        raise Invalid("exclusive_start_key is not a last_evaluated_key of this list")
    return Cursor(**members)


def _members(token: str) -> Mapping[str, str] | None:
    try:
        value: Any = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.keys() != {each.name for each in fields(Cursor)}:
        return None
    is_text = all(isinstance(each, str) and 0 < len(each) <= LONGEST for each in value.values())
    return value if is_text else None
