"""From a push to EventBridge: the notices that post-receive hooks leave are published, each once.

A notice is removed after its events are out, and what a repository's references were then is remembered.
So a push whose notice was never written (its hook was killed) is found by comparing at the next start; only
a kill between publishing and removing can make an event appear twice, which EventBridge may do as well.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from atelier.cloud.context import Cloud
from atelier.cloud.services.codecommit import repositories
from atelier.cloud.services.codecommit.records import REPOSITORIES

logger = logging.getLogger(__name__)

NOTHING = "0" * 40
KNOWN = "codecommit.references"
KINDS = {"refs/heads/": "branch", "refs/tags/": "tag"}


@dataclass(frozen=True)
class Move:
    """One reference that moved, from one commit to another; the zero id stands for none."""

    reference: str
    old: str
    new: str

    @property
    def event(self) -> str:
        """What CodeCommit calls it."""
        if self.old == NOTHING:
            return "referenceCreated"
        return "referenceDeleted" if self.new == NOTHING else "referenceUpdated"


class Watch:
    """The thread that publishes pushes, while the cloud runs."""

    def __init__(self, cloud: Cloud, *, every: float = 0.2) -> None:
        self._cloud = cloud
        self._every = every
        self._failing: set[str] = set()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take up what was pushed before, then open the repositories for pushes."""
        for name, _ in self._cloud.store.table(REPOSITORIES).items():
            repositories.equip(self._cloud, name)
            self._safely(catch_up, name)
        repositories.folder(self._cloud).mkdir(mode=0o700, parents=True, exist_ok=True)
        open_for_pushes(self._cloud)
        self._thread = self._cloud.spawn(self._run)

    def stop(self) -> None:
        """Refuse further pushes, and publish those that were taken."""
        repositories.serving(self._cloud).unlink(missing_ok=True)
        self._ending.set()
        if self._thread is not None:
            self._thread.join(30)

    def _run(self) -> None:
        while not self._ending.wait(self._every):
            self._pass()
        self._pass()

    def _pass(self) -> None:
        for name, _ in self._cloud.store.table(REPOSITORIES).items():
            if pending(self._cloud, name):
                self._safely(handle, name)

    def _safely(self, work: Callable[[Cloud, str], None], name: str) -> None:
        try:
            work(self._cloud, name)
        except Exception:  # the edge of this thread: one broken repository must not silence the others
            if name not in self._failing:
                logger.exception("a push to %s could not be published yet", name)
            self._failing.add(name)
        else:
            self._failing.discard(name)


def open_for_pushes(cloud: Cloud) -> None:
    """Say that this process serves, by its id and, where it can be read, its time of start."""
    stat = Path("/proc/self/stat")
    started = stat.read_text(encoding="ascii").rpartition(")")[2].split()[19] if stat.exists() else "-"
    place = repositories.serving(cloud)
    aside = place.with_suffix(".new")
    aside.write_text(f"{os.getpid()} {started}\n", encoding="ascii")
    aside.chmod(0o600)
    aside.rename(place)


def pending(cloud: Cloud, name: str) -> list[Path]:
    """Return the notices that wait, oldest first."""
    place = repositories.notices(cloud, name)
    try:
        found = [(each.stat().st_mtime_ns, each) for each in place.iterdir() if each.name[0] != "."]
    except FileNotFoundError:  # the repository is being deleted
        return []
    return [each for _, each in sorted(found)]


def handle(cloud: Cloud, name: str) -> None:
    """Publish and remove every notice of one repository."""
    for notice in pending(cloud, name):
        published = moves(notice.read_text(encoding="utf-8"))
        publish(cloud, name, published)
        remember(cloud, name, published)
        notice.unlink()


def catch_up(cloud: Cloud, name: str) -> None:
    """Publish what was pushed while nobody watched, notice or not."""
    handle(cloud, name)
    known = cloud.store.table(KNOWN).get(name) or {}
    unseen = differences(known, repositories.references(cloud, name))
    publish(cloud, name, unseen)
    remember(cloud, name, unseen)


def remember(cloud: Cloud, name: str, published: Iterable[Move]) -> None:
    """Keep what the references are, as far as it is published.

    Two pushes of one branch may leave their notices in either order: what is known to be the last word stays.
    """
    table = cloud.store.table(KNOWN)
    known, actual = table.get(name) or {}, repositories.references(cloud, name)
    for move in published:
        if known.get(move.reference) != actual.get(move.reference):
            known[move.reference] = repositories.commit_id(cloud, name, move.new)
    table.put(name, {reference: commit for reference, commit in known.items() if commit != NOTHING})


def moves(notice: str) -> list[Move]:
    """Read what git tells a post-receive hook: one ``old new reference`` a line."""
    return [Move(reference, old, new) for old, new, reference in map(str.split, notice.splitlines())]


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[Move]:
    """Return the moves that lead from one set of references to another."""
    return [
        Move(name, before.get(name, NOTHING), after.get(name, NOTHING))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def publish(cloud: Cloud, name: str, moved: Iterable[Move]) -> None:
    """Put one event on the bus for each branch and tag that moved."""
    record = cloud.store.table(REPOSITORIES).get(name)
    for move in moved:
        prefix = next((each for each in KINDS if move.reference.startswith(each)), None)
        if record is None or prefix is None:
            continue
        short = move.reference.removeprefix(prefix)
        if KINDS[prefix] == "branch" and move.new != NOTHING:
            repositories.adopt_default_branch(cloud, name, short)
        detail = {
            "event": move.event,
            "repositoryName": name,
            "repositoryId": record["repositoryId"],
            "referenceType": KINDS[prefix],
            "referenceName": short,
            "referenceFullName": move.reference,
            **_commits(cloud, name, move),
            "callerUserArn": f"arn:aws:iam::{cloud.account}:root",
        }
        cloud.events.publish(
            "aws.codecommit", "CodeCommit Repository State Change", detail, [cloud.arn("codecommit", name)]
        )


def _commits(cloud: Cloud, name: str, move: Move) -> dict[str, str]:
    both = {"commitId": move.new, "oldCommitId": move.old}
    return {
        key: repositories.commit_id(cloud, name, value) for key, value in both.items() if value != NOTHING
    }
