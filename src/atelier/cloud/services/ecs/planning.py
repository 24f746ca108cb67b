"""What a service needs next: a pure function of what is there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

LEAST_FAILURES = 3
MOST_FAILURES = 200


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A task of the service that is to go on, oldest first in a sequence of them."""

    id: str
    is_new: bool
    """Whether it belongs to the primary deployment."""
    is_healthy: bool = False
    failing: str | None = None
    """Why it is to be replaced, when it runs and does not do what it should."""
    has_served: bool = False
    """Whether it was healthy before: it may serve still, or again, so another one starts before it goes."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How many tasks a service shall have, and how far it may stray from that as it rolls."""

    count: int
    least_percent: int = 100
    most_percent: int = 200
    may_start: bool = True

    @property
    def least(self) -> int:
        """Return how many healthy tasks there must be at any time."""
        return math.ceil(self.count * self.least_percent / 100)

    @property
    def most(self) -> int:
        """Return how many tasks there may be at any time."""
        return self.count * self.most_percent // 100


@dataclass(frozen=True)
class Plan:
    """How many tasks to start, and which to stop: failing ones with why, the others because of scaling."""

    start: int = 0
    failing: dict[str, str] = field(default_factory=dict)
    surplus: tuple[str, ...] = ()


def plan(wanted: Wanted, tasks: Sequence[Seen]) -> Plan:
    """Return the next step from *tasks* to what is wanted."""
    left = [each for each in tasks if each.failing is None]
    new = [each for each in left if each.is_new]
    surplus = _surplus(wanted, new) + _replaced(wanted, left)
    missing = max(0, wanted.count - len(new))
    room = max(wanted.most, wanted.least) - len(left) + len(surplus)
    ill = [each for each in tasks if each.failing is not None]
    kept = _kept(wanted, left, [each for each in ill if each.has_served], room - missing)
    failing = {each.id: each.failing or "" for each in ill if each.id not in kept}
    start = max(0, min(missing, room - len(kept)))
    return Plan(start if wanted.may_start else 0, failing, tuple(surplus))


def _kept(wanted: Wanted, left: list[Seen], served: list[Seen], room: int) -> set[str]:
    """Return those that fail and stay until others serve, if there is room beside their replacements."""
    if sum(each.is_healthy for each in left) >= wanted.least:
        return set()
    return {each.id for each in served[: max(0, room)]}


def _surplus(wanted: Wanted, new: list[Seen]) -> list[str]:
    """Return the new tasks beyond what is wanted: those that do not serve yet, then the youngest."""
    extra = max(0, len(new) - wanted.count)
    ordered = sorted(enumerate(new), key=lambda each: (each[1].is_healthy, -each[0]))
    return [task.id for _, task in ordered[:extra]]


def _replaced(wanted: Wanted, left: list[Seen]) -> list[str]:
    """Return the old tasks that may go: those that do not serve, and as many others as are not needed."""
    old = [each for each in left if not each.is_new]
    idle = [each.id for each in old if not each.is_healthy]
    serving = [each.id for each in old if each.is_healthy]
    healthy = sum(each.is_healthy for each in left)
    return idle + serving[: max(0, healthy - wanted.least)]


def is_steady(wanted: Wanted, tasks: Sequence[Seen]) -> bool:
    """Say whether everything is as wanted."""
    return len(tasks) == wanted.count and all(each.is_new and each.is_healthy for each in tasks)


def threshold(count: int) -> int:
    """Return how many failures in a row trip a circuit breaker: half of the tasks, within bounds."""
    return min(max(math.ceil(count / 2), LEAST_FAILURES), MOST_FAILURES)
