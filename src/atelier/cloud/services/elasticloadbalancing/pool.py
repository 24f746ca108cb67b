"""Target groups at work: which target gets the next request, and how healthy and how busy each one is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from atelier.cloud.store import Record

Key = tuple[str, int]
"""A target's address and port."""

Verdict = tuple[str, str | None, str | None]
"""A target's state, the code of its reason, and the reason in words."""

NEW: Verdict = ("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
CHECKING: Verdict = ("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
HEALTHY: Verdict = ("healthy", None, None)
DRAINING: Verdict = (
    "draining", "Target.DeregistrationInProgress", "Target deregistration is in progress",
)  # fmt: skip
NOT_IN_USE: Verdict = (
    "unused",
    "Target.NotInUse",
    "Target group is not configured to receive traffic from the load balancer",
)
NOT_REGISTERED: Verdict = (
    "unused", "Target.NotRegistered", "Target is not registered to the target group",
)  # fmt: skip

FAST = "least_outstanding_requests"


@dataclass(eq=False)
class Target:
    """One target of a group; only the event loop of the load balancers changes it."""

    id: str
    port: int
    verdict: Verdict = NEW
    passed: int = 0
    failed: int = 0
    busy: set[asyncio.Timeout] = field(default_factory=set)
    """One for each request that it is working on."""
    checking: asyncio.Task[None] | None = None
    ending: asyncio.TimerHandle | None = None
    idle: Callable[[], None] | None = None
    """What is to be done when it works on nothing any more; for one that drains."""

    @property
    def state(self) -> str:
        """The state as DescribeTargetHealth says it."""
        return self.verdict[0]

    @contextmanager
    def taken(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Count a request as outstanding; *limit* cuts it off when a deregistered target's time is over."""
        self.busy.add(limit)
        try:
            yield
        finally:
            self.busy.discard(limit)
            if self.idle is not None and not self.busy:
                self.idle()

    def end(self, when: float | None) -> None:
        """Cut off what it works on at a time of the event loop's clock, or let it go on."""
        for limit in self.busy:
            if not limit.expired():
                limit.reschedule(when)

    def judge(self, failure: Verdict | None, *, up: int, down: int) -> None:
        """Take in one health check; a target that is new needs one that passes, one that failed *up*."""
        self.passed, self.failed = (0, self.failed + 1) if failure else (self.passed + 1, 0)
        if failure is None and (self.state == "initial" or self.passed >= up):
            self.verdict = HEALTHY
        elif failure is not None and (self.failed >= down or self.state == "unhealthy"):
            self.verdict = failure
        elif self.state == "initial":
            self.verdict = CHECKING

    def rest(self, verdict: Verdict) -> None:
        """Check its health no more."""
        if self.checking is not None:
            self.checking.cancel()
        self.checking, self.verdict, self.passed, self.failed = None, verdict, 0, 0


@dataclass(eq=False)
class Group:
    """One target group."""

    arn: str
    record: Record
    is_used: bool = False
    targets: dict[Key, Target] = field(default_factory=dict)
    turn: int = 0

    def choose(self) -> Target | None:
        """Return who gets the next request, or None when no target takes any.

        Where no target is healthy all of them are asked, as on AWS.
        """
        there = [each for each in self.targets.values() if each.state not in ("draining", "unused")]
        ready = [each for each in there if each.state == "healthy"] or there
        if not ready:
            return None
        self.turn += 1
        ordered = ready[self.turn % len(ready) :] + ready[: self.turn % len(ready)]
        if self.record["Attributes"].get("load_balancing.algorithm.type") == FAST:
            return min(ordered, key=lambda each: len(each.busy))
        return ordered[0]

    def count(self, state: str) -> int:
        """Return how many targets are in a state."""
        return sum(each.state == state for each in self.targets.values())
