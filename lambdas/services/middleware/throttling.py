"""Throttling: how often each user may ask.

API Gateway throttles a stage, or holders of its own API keys; our tokens are no such keys, and a pool of keys
would let users who share one use up each other's. So each function counts, in a table that all of them share:
a user has so many requests in every stretch of ten seconds. A function takes leave for one request, then for
one, two, four ..., as many as it has let pass, so that a busy user costs few writes. Never more than allowed
is granted, and nobody is refused who has made less than half of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from atelier.lambdas.errors import Throttled
from atelier.lambdas.ports.accounts import Rates

SECONDS = 10
REMEMBERED = 1000
"""Users whose leave is kept in memory at most."""


@dataclass
class Leave:
    """What one function may let pass of one user in one window."""

    window: int
    taken: int = 0
    used: int = 0
    stride: int = 1


@dataclass
class Allowance:
    """Lets *limit* requests of each user pass in every window."""

    rates: Rates
    limit: int
    _leaves: dict[str, Leave] = field(default_factory=dict)

    def admit(self, user: str, *, now: float) -> None:
        """Let one more request pass; raise Throttled when it is one too many."""
        leave = self._leave(user, int(now // SECONDS) * SECONDS)
        if leave.used == leave.taken:
            leave.taken += self._take(user, leave)
        if leave.used == leave.taken:
            raise Throttled(f"User {user} asks too often, try again in {SECONDS} seconds")
        leave.used += 1

    def _leave(self, user: str, window: int) -> Leave:
        found = self._leaves.get(user)
        if found is None or found.window != window:
            if len(self._leaves) >= REMEMBERED:
                self._leaves.clear()
            found = self._leaves[user] = Leave(window)
        return found

    def _take(self, user: str, leave: Leave) -> int:
        """Take leave for as many as have passed, or for half of that, down to one; or there is no more."""
        while leave.stride:
            if self.rates.take(user, leave.window, leave.stride, limit=self.limit):
                taken, leave.stride = leave.stride, min(2 * leave.stride, leave.taken + leave.stride)
                return taken
            leave.stride //= 2
        return 0
