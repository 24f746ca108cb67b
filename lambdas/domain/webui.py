"""The values around the WebUI's pipeline: what is followed, what was seen of it, and how runs ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from atelier.contract.values import Value

CommitStatus = Literal["starting", "started", "built", "failed", "rejected", "superseded", "stopped"]
RunStatus = Literal["building", "published", "failed", "rejected", "superseded", "stopped"]
Outcome = Literal["started", "unchanged", "returned", "waiting", "failed", "trouble", "nothing"]


class Upstream(Value):
    """A repository and what is followed of it: a branch or a tag, by its full name, or one commit alone."""

    url: str
    reference: str
    pin: str | None = None

    @property
    def name(self) -> str:
        """What people call the reference."""
        kind, _, short = self.reference.removeprefix("refs/").partition("/")
        return f"the {'branch' if kind == 'heads' else 'tag'} {short} of {self.url}"


class Watch(Value):
    """The last look at upstream: its head, what is in the way since when, and when to ask again.

    What was the head before and is again has *returned*, and is the head when the next look says so too.
    """

    head: str | None = None
    returned: str | None = None
    looked: str = ""
    trouble: str | None = None
    since: str | None = None
    later: str | None = None
    revision: int = 0


class Commit(Value):
    """An upstream commit that was begun: how it went, and when it may be tried again."""

    id: str
    status: CommitStatus
    starts: int = 1
    failures: int = 0
    begun: str = ""
    run: str | None = None
    again: str | None = None
    reason: str | None = None
    revision: int = 0


class Run(Value):
    """One run of the pipeline: what it made of which commits, or why it made nothing."""

    run: str
    status: RunStatus
    started: str
    ended: str | None = None
    trigger: str = ""
    upstream: str = ""
    upstream_url: str | None = None
    source: str | None = None
    tag: str | None = None
    image: str | None = None
    size_bytes: int | None = None
    startup_seconds: float | None = None
    reason: str | None = None
    revision: int = 0


class Execution(Value):
    """What CodePipeline says of a run; *failed* is the action that did."""

    status: str
    variables: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None
    failed: str | None = None
    reason: str = ""
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Look(Value):
    """What one look at upstream came to."""

    outcome: Outcome
    summary: str
    head: str | None = None
    run: str | None = None

    def as_document(self) -> dict[str, Any]:
        """Return it as the function answers."""
        return {"outcome": self.outcome, "summary": self.summary, "head": self.head, "run": self.run}
