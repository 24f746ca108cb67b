"""The reconciler: looks after what no event has brought to an end; nothing stays in progress for ever.

It comes by the clock. A job that has run for a while is looked for where its answer would lie; one that may
not have reached its endpoint is handed over again, a few times; one that nobody will answer any more fails
with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from atelier.lambdas.domain.endpoints import DELETING, FAILED
from atelier.lambdas.domain.inferences import Inference, Result, Sent
from atelier.lambdas.errors import Busy, Conflict
from atelier.lambdas.services.middleware import endpoints, inferences, results

Thing = TypeVar("Thing")

QUIET = timedelta(minutes=5)
"""A job younger than this is left to its events."""

LONGEST = timedelta(hours=7, minutes=15)
"""Six hours in SageMaker's queue, one hour of work, and some time for the notice."""

MOST_ATTEMPTS = 5

Report = Callable[[str, Exception], None]
"""What is told of an endpoint or a job that could not be looked after this time."""


def watch(*, now: str, world: endpoints.World, is_time_left: Callable[[], bool], report: Report) -> int:
    """Look at every endpoint; return at how many."""

    def look(name: str) -> None:
        endpoints.refresh(name, now=now, world=world)

    names = (each.name for each in world.endpoints.all())
    return _each(((name, name) for name in names), look, is_time_left, report)


def settle(*, now: str, world: inferences.World, is_time_left: Callable[[], bool], report: Report) -> int:
    """Bring jobs to their end, the oldest first; return how many were looked after."""

    def look(job: Inference) -> None:
        _settle(job, now, world)

    before = (datetime.fromisoformat(now) - QUIET).isoformat(timespec="microseconds")
    jobs = ((each.id, each) for each in world.jobs.running(before))
    return _each(jobs, look, is_time_left, report)


def _each(
    things: Iterable[tuple[str, Thing]],
    look: Callable[[Thing], None],
    is_time_left: Callable[[], bool],
    report: Report,
) -> int:
    """Look at each thing while there is time; one that makes trouble does not keep us from the others."""
    done = 0
    for name, each in things:
        if not is_time_left():
            break
        try:
            look(each)
        except Exception as error:  # the obligation: the others are looked after, and this is told
            report(name, error)
        done += 1
    return done


def _settle(job: Inference, now: str, world: inferences.World) -> None:
    if job.kind == "Real-time":
        _end(job.failed("the endpoint's answer was lost", now), job, world)
    elif (result := _found(job, world)) is not None:
        results.take(result, now=now, jobs=world.jobs, objects=world.objects)
    elif _is_orphan(job, world):
        _end(job.failed(f"endpoint {job.runner.name} was deleted or failed", now), job, world)
    elif job.sent is None:
        _again(job, now, world)
    elif _age(job, now) > LONGEST:
        _end(job.failed("the endpoint gave no answer in time", now), job, world)


def _found(job: Inference, world: inferences.World) -> Result | None:
    """Return a result whose notice was lost."""
    sent = job.sent or Sent(output="")
    output, failure = (world.objects.key(each) for each in (sent.output, sent.failure))
    if output and world.objects.exists(output):
        return Result(id=job.id, output=sent.output, failure=sent.failure)
    if failure and world.objects.exists(failure):
        return Result(id=job.id, failure=sent.failure)
    return None


def _is_orphan(job: Inference, world: inferences.World) -> bool:
    endpoint = world.endpoints.get(job.runner.name)
    return endpoint is None or endpoint.id != job.runner.id or endpoint.status in {FAILED, DELETING}


def _again(job: Inference, now: str, world: inferences.World) -> None:
    """Hand over a job that may not have reached its endpoint; its start is now, for whoever looks next."""
    if job.attempts >= MOST_ATTEMPTS:
        _end(job.failed(f"endpoint {job.runner.name} could not be called", now), job, world)
        return
    try:
        again = world.jobs.save(replace(job, started=now, attempts=job.attempts + 1), was=job)
        inferences.submit(again, now=now, world=world)
    except (Busy, Conflict):
        return


def _end(job: Inference, was: Inference, world: inferences.World) -> None:
    try:
        world.jobs.save(job, was=was)
    except Conflict:
        return


def _age(job: Inference, now: str) -> timedelta:
    return datetime.fromisoformat(now) - datetime.fromisoformat(job.started)
