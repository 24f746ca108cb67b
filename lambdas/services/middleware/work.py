"""Work: trainings, merges and crops, from the request to their end.

The item is kept first, then the name of what will be made is reserved, then the state machine begins: a
function killed in between leaves an item that the reconciler finds without an execution, and ends. Each
change of state is a conditional write upon what was read. Of a stop and an end that come together one wins,
and the other one's doing is taken back; an event that comes twice, or too late, changes nothing. Work that
came to nothing is watched until what it had reserved is given back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from atelier.contract.values import Value
from atelier.lambdas.domain.accounts import Caller
from atelier.lambdas.domain.pages import Page, cursor, first
from atelier.lambdas.domain.work import Kind, Work
from atelier.lambdas.errors import Conflict, Failed, Invalid, NotFound, Refused, TimedOut
from atelier.lambdas.ports.work import Datasets, Executions, Files, Works
from atelier.lambdas.services.middleware import checkpoints, crops, products, reports
from atelier.lambdas.services.middleware.access import settled
from atelier.lambdas.services.middleware.reasons import why

QUIET = timedelta(minutes=3)
"""Work that is younger may not have been begun yet."""

CHANNELS = ("model", "model2", "model3")


class World(Value):
    """Where work and what it makes are kept."""

    works: Works
    datasets: Datasets
    files: Files
    checkpoints: checkpoints.World


def start(
    planned: Work,
    config: Mapping[str, Any],
    *,
    reserve: Callable[[], None],
    world: World,
    executions: Executions,
) -> Work:
    """Begin work; when it cannot be begun, nothing is left of it."""
    kept = world.works.add(planned)
    try:
        reserve()
        world.files.write(kept.config_key, _config(kept, config, world), "application/json")
        executions.start(kept.id, flow_input(kept, world.files))
    except TimedOut:
        return kept  # whether it has begun or not: the reconciler will see
    except Exception:  # the obligation: what was begun and will not run is taken back, whatever happened
        _discard(kept, world)
        if kept.kind == "crop":
            crops.forget(kept, datasets=world.datasets)
        world.files.delete_folder(kept.folder)
        world.works.remove(kept.id)
        raise
    return kept


def _config(work: Work, config: Mapping[str, Any], world: World) -> bytes:
    models = [{"name": each.name, "sha256": each.sha256 or None} for each in work.parents]
    places = {"output": world.files.uri(work.output), "report": world.files.uri(work.report)}
    return json.dumps({**config, "models": models, **places}).encode()


def flow_input(work: Work, files: Files) -> dict[str, Any]:
    """Return what the state machine is given: names, places and channels."""
    sources = {"config": files.uri(work.config_key)}
    sources |= dict(zip(CHANNELS, (each.s3 for each in work.parents), strict=False))
    if work.source:
        sources["dataset"] = files.uri(work.source)
    return {
        "id": work.id,
        "kind": work.kind,
        "job": work.job,
        "instance_type": work.instance_type,
        "channels": [_channel(name, address) for name, address in sources.items()],
        "output": files.uri(f"{work.folder}output/"),
        "checkpoints": files.uri(f"{work.folder}checkpoints/"),
    }


def _channel(name: str, address: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3DataDistributionType": "FullyReplicated", "S3Uri": address}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def get(id: str, kind: Kind, *, works: Works) -> Work:
    """Return work of a kind."""
    found = works.get(id)
    if found is None or found.kind != kind:
        raise NotFound(f"Job with id {id} not found")
    return found


def listed(kind: Kind, *, limit: int, start: str | None, works: Works) -> Page[Work]:
    """Return work of a kind, the newest first."""
    newest = works.newest(kind, cursor(start, of=kind))
    return first(newest, limit, of=kind, at=lambda work: (work.created, work.id))


def begin(id: str, *, world: World) -> Work:
    """Say that work has begun; once more is fine. Conflict: it has ended before it began."""

    def change() -> Work | None:
        was = world.works.get(id)
        if was is None or was.is_finished or was.status == "InProgress":
            return was
        return world.works.save(was.to("InProgress"), was=was)

    found = settled(change)
    if found is None or found.status != "InProgress":
        raise Conflict(f"work {id} has ended before it began")
    return found


def finish(id: str, *, now: str, world: World) -> Work:
    """Let what was made be used, and say that work is done; once more is fine. Conflict: it was stopped."""
    was = world.works.get(id)
    if was is None or was.status in {"Stopped", "Failed"}:
        raise Conflict(f"work {id} has ended otherwise")
    if was.status == "Completed":
        return was
    result = reports.result(was, world.files)
    if result is None:
        raise Failed("the job ended without a result")
    if was.kind == "crop":
        crops.keep(was, result, datasets=world.datasets, files=world.files)
    elif not any(key == was.output for key, _ in world.files.sizes(was.output)):
        raise Failed("the job ended without what it was to make")
    else:
        products.keep(was.result, str(result.get("sha256", "")), world=world.checkpoints)
    ended = _end(id, partial(Work.to, status="Completed", completed=now), world)
    if ended is None or ended.status != "Completed":
        _discard(was, world)
        raise Conflict(f"work {id} has ended otherwise")
    return ended


def fail(id: str, failure: Mapping[str, Any], *, now: str, world: World) -> Work | None:
    """Say that work has failed, and why; what has ended before stays as it is."""
    reason = why(failure)
    ended = _end(id, partial(Work.failed, why=reason, now=now), world)
    if ended is not None and ended.status != "Completed":
        _give_back(ended, world)
    return ended


def _end(id: str, change: Callable[[Work], Work], world: World) -> Work | None:
    """Bring work to an end, unless it has one; return it as it is then."""

    def attempt() -> Work | None:
        was = world.works.get(id)
        if was is None or was.is_finished:
            return was
        return world.works.save(change(was), was=was)

    return settled(attempt)


def _discard(work: Work, world: World) -> None:
    """Take back what was reserved; of a crop that failed, the dataset stays and says why."""
    if work.kind == "crop":
        crops.discard(work, datasets=world.datasets, files=world.files)
    else:
        products.discard(work.result, world=world.checkpoints)


def _give_back(work: Work, world: World) -> None:
    """Take back what was reserved; until it is kept that this is done, the reconciler does it again."""
    _discard(work, world)
    if work.owes:
        with suppress(Conflict):  # another has done the same, or has deleted the work
            world.works.save(replace(work, owes=False), was=work)


def stop(
    id: str, kind: Kind, *, caller: Caller, everybodys: str, now: str, world: World, executions: Executions
) -> Work:
    """Stop work that has not ended; once more is fine."""
    found = get(id, kind, works=world.works)
    if not found.is_of(caller, everybodys):
        raise Refused(f"User {caller.name} has no permissions: ['{everybodys}']")
    ended = halt(found, now=now, world=world, executions=executions)
    if ended.status != "Stopped":
        raise Invalid(f"{found.word} {id} is {ended.status}, cannot become Stopped")
    return ended


def halt(work: Work, *, now: str, world: World, executions: Executions) -> Work:
    """Stop work whatever its kind; return it as it is then."""
    ended = _end(work.id, partial(Work.to, status="Stopped", completed=now), world)
    ended = ended or replace(work, status="Stopped")
    if ended.owes or ended.status == "Stopped":
        _close(ended, world, executions)
    return ended


def _close(work: Work, world: World, executions: Executions) -> None:
    """Do what an end without success asks for; once more is fine."""
    if work.status == "Stopped":
        executions.stop(work.id, work.job)
    _give_back(work, world)


def delete(ids: Sequence[str], kind: Kind, *, now: str, world: World, executions: Executions) -> None:
    """Delete work with its logs; what runs is stopped. What was made stays; unknown ids are fine."""
    for id in dict.fromkeys(ids):
        found = world.works.get(id)
        if found is None or found.kind != kind:
            continue
        if found.is_watched:
            halt(found, now=now, world=world, executions=executions)
        world.files.delete_folder(found.folder)
        world.works.remove(id)


def settle(work: Work, *, now: str, world: World, executions: Executions) -> None:
    """Bring work to an end whose state machine has ended, or has never begun, or whose end was cut."""
    if work.is_finished:
        _close(work, world, executions)
        return
    course = executions.look(work.id)
    if course is None:
        if datetime.fromisoformat(now) - datetime.fromisoformat(work.created) < QUIET:
            return
        fail(work.id, {"Cause": "it was not begun to the end, try again"}, now=now, world=world)
    elif not course.is_running:
        fail(work.id, {"Cause": course.reason}, now=now, world=world)
