"""What an edge keeps of its origins: as long as they say, within bounds, and until it is invalidated."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase

LARGEST = 8 << 20
MOST = 64 << 20
AGES = re.compile(r"(?:^|[,\s])(s-maxage|max-age)\s*=\s*\"?(\d{1,10})")
UNKEPT = re.compile(r"(?:^|[,\s])(no-cache|no-store|private)(?:$|[,\s=])")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How long a cache policy keeps things, in seconds."""

    least: int
    usual: int
    most: int


POLICIES: Mapping[str, Bounds] = {
    # CachingOptimized, CachingOptimizedForUncompressedObjects, CachingDisabled
    "658327ea-f89d-4fab-a63d-7e88639e58f6": Bounds(least=1, usual=86_400, most=31_536_000),
    "b2884449-e4de-46a7-ac36-70bc7f1ddd6d": Bounds(least=1, usual=86_400, most=31_536_000),
    "4135ea2d-6df8-44a3-9df3-4b5a84be39ad": Bounds(least=0, usual=0, most=0),
}
"""CloudFront's own policies whose key is the path alone."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an origin has answered."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An answer, since when it is kept, and how long it may be."""

    answer: Answer
    since: float
    until: float


class Cache:
    """Answers by distribution and path; the least used go when there are too many."""

    def __init__(self, *, clock: Callable[[], float] = time.time, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[tuple[str, str], Kept] = OrderedDict()
        self._size = 0
        self._turns: dict[str, int] = {}
        self._lock = threading.Lock()

    def turn(self, distribution: str) -> int:
        """Return a number that changes with each invalidation: what was asked for before one is not kept."""
        with self._lock:
            return self._turns.get(distribution, 0)

    def get(self, distribution: str, path: str) -> tuple[Answer, int] | None:
        """Return what is kept and its age; nothing when there is none, or it is too old."""
        with self._lock:
            key = (distribution, path)
            if (kept := self._kept.get(key)) is None:
                return None
            now = self._clock()
            if now >= kept.until:
                self._drop(key)
                return None
            self._kept.move_to_end(key)
            return kept.answer, int(now - kept.since)

    def keep(self, distribution: str, path: str, answer: Answer, *, seconds: float, turn: int) -> None:
        """Keep an answer that was asked for in this *turn*."""
        if seconds <= 0 or len(answer.body) > LARGEST:
            return
        with self._lock:
            if self._turns.get(distribution, 0) != turn:
                return
            key, now = (distribution, path), self._clock()
            self._drop(key)
            self._kept[key] = Kept(answer=answer, since=now, until=now + seconds)
            self._size += len(answer.body)
            while self._size > self._most:
                self._drop(next(iter(self._kept)))

    def forget(self, distribution: str, patterns: Iterable[str]) -> None:
        """Drop every path that is named; a pattern that ends with ``*`` names all that begin so."""
        wanted = [_literal(each) for each in patterns]
        with self._lock:
            self._turns[distribution] = self._turns.get(distribution, 0) + 1
            for key in list(self._kept):
                if key[0] == distribution and any(fnmatchcase(key[1], each) for each in wanted):
                    self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        if kept := self._kept.pop(key, None):
            self._size -= len(kept.answer.body)


def _literal(pattern: str) -> str:
    """Return a pattern in which the last star alone means anything."""
    head, star = (pattern[:-1], "*") if pattern.endswith("*") else (pattern, "")
    return "".join(f"[{each}]" if each in "*?[" else each for each in head) + star


def seconds(answer: Answer, bounds: Bounds, failures: Mapping[int, int], now: float) -> float:
    """Return how long an answer is kept; *failures* are the seconds of errors by their status."""
    if answer.status >= 400:
        return failures.get(answer.status, 10)
    if answer.status != 200:
        return 0
    said = answer.headers.get("cache-control", "").lower()
    if UNKEPT.search(said):
        return bounds.least
    age = _age(said, answer.headers.get("expires", ""), now)
    return max(bounds.least, min(bounds.usual if age is None else age, bounds.most))


def _age(said: str, expires: str, now: float) -> float | None:
    ages = {name: int(value) for name, value in AGES.findall(said)}
    if ages:
        return ages.get("s-maxage", ages.get("max-age", 0))
    if not expires:
        return None
    try:
        return max(0.0, parsedate_to_datetime(expires).timestamp() - now)
    except ValueError:
        return 0  # a date that is none is in the past
