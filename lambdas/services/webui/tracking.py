"""Tracking: look whether upstream has moved, and have what it moved to built, each commit once.

A commit is written down as starting before it is started, under a token that CodePipeline takes but once: so
two looks at one time, or one that died between the two, start one run. The newest head wins: what is not the
head any more is not begun. A head that was built before and comes back is the newest, and is begun again; but
not before a second look has seen it, since a repository of many servers may tell what was for a while.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from atelier.contract.values import Value
from atelier.contract.webui import DECLARATION, RunChange
from atelier.lambdas.domain.webui import Commit, Look, Watch
from atelier.lambdas.errors import Busy, Conflict, Invalid, NotFound, ServiceError, Throttled
from atelier.lambdas.ports.webui import Declarations, History, People, Pipeline, Upstreams
from atelier.lambdas.services.webui import declarations, runs

SILENCE = 2 * 3600
"""Seconds after which a run that no event has ended is asked how it is."""
LONGEST_WAIT = 24 * 3600
ENDED = {"Failed": "FAILED", "Superseded": "SUPERSEDED", "Stopped": "STOPPED", "Cancelled": "CANCELED"}
KINDS: dict[type[ServiceError], str] = {
    Throttled: "asks for patience",
    Busy: "does not answer",
    NotFound: "is not there",
    Invalid: "is declared wrongly",
}


class World(Value):
    """What a look needs."""

    declarations: Declarations
    upstreams: Upstreams
    pipeline: Pipeline
    history: History
    people: People


def look(*, now: str, world: World) -> Look:
    """Look once."""
    watch = world.history.watch()
    if watch.later and now < watch.later:
        return Look(outcome="waiting", summary=f"upstream asked not to be asked before {watch.later}")
    try:
        head = head_of(world)
    except (Busy, NotFound, Invalid) as error:
        return hinder(error, "upstream", watch, now=now, world=world)
    if head is None:
        return Look(outcome="nothing", summary=f"our source has no {DECLARATION} yet")
    try:
        found = follow(head, watch, now=now, world=world)
    except Conflict:  # another look was faster, and does what is to be done
        return Look(outcome="unchanged", summary="another look does it", head=watch.head)
    except (Busy, NotFound) as error:
        return hinder(error, "pipeline", watch, now=now, world=world)
    if watch.trouble:
        told = f"{watch.trouble}\nSince {watch.since}; at {now} it is over: {found.summary}."
        world.people.tell("The WebUI's upstream is followed again", told)
    is_sure = found.outcome != "returned"
    seen = Watch(head=head if is_sure else watch.head, returned=None if is_sure else head, looked=now)
    _remember(replace(seen, revision=watch.revision), world)
    return found


def head_of(world: World) -> str | None:
    """Return the commit that upstream is at, as our source declares it; None before it declares anything."""
    text = world.declarations.text()
    if text is None:
        return None
    upstream = declarations.read(text)
    return upstream.pin or world.upstreams.head(upstream)


def hinder(error: ServiceError, what: str, watch: Watch, *, now: str, world: World) -> Look:
    """Write down what is in the way; tell people when it is something new."""
    kind = next(words for each, words in KINDS.items() if isinstance(error, each))
    subject = f"The WebUI's {what} {kind}"
    trouble = f"{subject}: {error}"
    is_known = (watch.trouble or "").startswith(f"{subject}:")
    if not is_known:
        told = f"{trouble}\nNothing new is built until this is over; it is told once."
        world.people.tell(subject, told)
    wait = min(error.seconds, LONGEST_WAIT) if isinstance(error, Throttled) else 0
    changed = replace(
        watch,
        looked=now,
        trouble=watch.trouble if is_known else trouble,
        since=watch.since if is_known else now,
        later=after(now, wait) if wait else None,
    )
    _remember(changed, world)
    return Look(outcome="trouble", summary=trouble, head=watch.head)


def _remember(watch: Watch, world: World) -> None:
    try:
        world.history.save_watch(watch)
    except Conflict:
        return  # another look at the same time has written what it saw


def follow(head: str, watch: Watch, *, now: str, world: World) -> Look:
    """Do what is to be done about the commit that upstream is at."""
    commit = world.history.commit(head)
    if commit is None:
        return begin(Commit(id=head, status="starting", begun=now), world=world)
    if commit.status == "starting":  # a look died here, or is about to start it: the token is taken once
        return start(commit, world=world)
    if commit.status == "started":
        return wait(commit, now=now, world=world)
    has_come_back = watch.head not in {None, head}
    if has_come_back and watch.returned != head:
        return Look(
            outcome="returned", summary=f"{head} is the head again, if the next look says so too", head=head
        )
    if commit.status == "superseded" or has_come_back:
        return begin(_once_more(commit, now, failures=0 if has_come_back else commit.failures), world=world)
    if commit.status == "failed":
        return retry(commit, now=now, world=world)
    return Look(outcome="unchanged", summary=f"{head} is {commit.status}", head=head, run=commit.run)


def retry(commit: Commit, *, now: str, world: World) -> Look:
    """Try a commit again that failed, unless it is too early or was tried often enough."""
    failed = f"{commit.id} failed: {commit.reason}"
    if commit.again is None:
        summary = f"{failed}; it was tried {commit.failures} times and is left alone"
        return Look(outcome="failed", summary=summary, head=commit.id, run=commit.run)
    if now < commit.again:
        summary = f"{failed}; it is tried again at {commit.again}"
        return Look(outcome="waiting", summary=summary, head=commit.id, run=commit.run)
    return begin(_once_more(commit, now, failures=commit.failures), world=world)


def _once_more(commit: Commit, now: str, *, failures: int) -> Commit:
    return replace(
        commit,
        status="starting",
        starts=commit.starts + 1,
        failures=failures,
        begun=now,
        run=None,
        again=None,
        reason=None,
    )


def begin(commit: Commit, *, world: World) -> Look:
    """Write down that a commit is started, then start it."""
    return start(world.history.save_commit(commit), world=world)


def start(commit: Commit, *, world: World) -> Look:
    """Start the pipeline with a commit."""
    run = world.pipeline.start(f"{commit.id}-{commit.starts}", commit.id)
    world.history.save_commit(replace(commit, status="started", run=run))
    return Look(outcome="started", summary=f"{commit.id} is being built", head=commit.id, run=run)


def wait(commit: Commit, *, now: str, world: World) -> Look:
    """Leave a run alone; when it is silent for long, its end may have been missed."""
    summary = f"{commit.id} is being built"
    if commit.run and now > after(commit.begun, SILENCE):
        state = ENDED.get(world.pipeline.describe(commit.run).status)
        if state:
            change = RunChange(run=commit.run, state=state, at=now)
            ended = runs.World(pipeline=world.pipeline, history=world.history, people=world.people)
            runs.follow(change, world=ended)
            summary = f"{commit.id} has ended {state.lower()}, which no event told"
    return Look(outcome="unchanged", summary=summary, head=commit.id, run=commit.run)


def after(moment: str, seconds: float) -> str:
    """Return a later moment."""
    later = datetime.fromisoformat(moment) + timedelta(seconds=seconds)
    return later.isoformat(timespec="seconds")
