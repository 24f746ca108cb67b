"""The fleet: bring the newest good model that has landed to the tasks, and take back one that is not good.

A look ignores what called it: it lists what lies in the bucket, so that events which are late, doubled or out
of order do no harm. What is tried is written down before ECS is told; of two looks at one time, one goes on.
A model that was refused is remembered by its object's version, and never tried again.

The newest version of the parameter names the model that serves, also while another is tried: that one is read
by its version's number, which a revision of the task says. So a task that starts for any other reason, of
whatever revision, loads a model that is known to be good.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from atelier.contract import fleet
from atelier.contract.fleet import Model
from atelier.contract.values import Value
from atelier.lambdas.domain.fleet import Landed, Look, Record, Sight, State, Trial
from atelier.lambdas.errors import Busy, Invalid
from atelier.lambdas.ports.fleet import Bucket, Memory, Parameter, People, Service
from atelier.lambdas.services import archives

CLAIM_SECONDS = 60
"""After so long, whoever claimed a trial and did not tell ECS has died on the way."""

SHOWN_SECONDS = 10
"""For so long ECS may still show what it was before an update."""

PATIENCE_SECONDS = 1800.0

OVER = frozenset({fleet.SERVING, fleet.REFUSED, fleet.RETIRED})
"""What a landing is not begun again after; one that another overtook may still have its turn."""


class World(Value):
    """What a look needs; after *patience* seconds a deployment that does not end is given up."""

    bucket: Bucket
    parameter: Parameter
    service: Service
    memory: Memory
    people: People
    patience: float = PATIENCE_SECONDS


def look(*, now: str, world: World) -> Look:
    """Bring to an end what was tried, then try the newest model that may be."""
    settled = settle(now=now, world=world)
    state = world.memory.state()
    if state.trial and not state.trial.definition:
        return resume(state, now=now, world=world)
    for landed in candidates(state, world=world):
        if model := proven(landed, now=now, world=world):
            return begin(landed.id, model, state, now=now, world=world)
    if state.serving and not state.trial and _is_new(world.service.look()):
        return begin(state.landing, state.serving, state, now=now, world=world)
    return settled


def _is_new(sight: Sight) -> bool:
    """Say whether the service has had no model since the stack was made, anew perhaps."""
    return sight.version is None and sight.desired == 0


def candidates(state: State, *, world: World) -> list[Landed]:
    """Return what is not done with, the newest first; nothing older than what is tried or serves."""
    newest = state.newest
    found = sorted(world.bucket.landed(), key=lambda each: (each.landed, each.key), reverse=True)
    return [
        each
        for each in found
        if (newest is None or (each.landed, each.key) >= (newest.landed, newest.key))
        and (newest is None or (each.key, each.version_id) != (newest.key, newest.version_id))
        and not _is_over(world.memory.record(each.id))
    ]


def _is_over(record: Record | None) -> bool:
    return record is not None and record.status in OVER


def proven(landed: Landed, *, now: str, world: World) -> Model | None:
    """Read a model; None when it is not complete yet, or is refused, which is told."""
    try:
        said = world.bucket.sha256(landed)
    except Invalid as error:
        _refuse(landed, str(error), now=now, world=world)
        return None
    if said is None:
        return None
    with world.bucket.opened(landed) as stream:
        archive = archives.read(stream)
    if archive.sha256 != said:
        if landed.beside and landed.beside_landed < landed.landed:
            return None  # the file beside it is of the model before: its own is on the way
        archive = replace(
            archive, flaw=f"its SHA-256 is {archive.sha256}, and was said to be {said}: upload it again"
        )
    if archive.flaw:
        _refuse(landed, archive.flaw, now=now, world=world, sha256=archive.sha256)
        return None
    return Model(
        name=landed.name,
        bucket=landed.bucket,
        key=landed.key,
        version_id=landed.version_id,
        sha256=archive.sha256,
        size=archive.size,
        landed=landed.landed,
    )


def begin(landing: str, model: Model, state: State, *, now: str, world: World) -> Look:
    """Write down that a model is tried, then have it tried; what was tried before is overtaken."""
    before = state.trial.before if state.trial else world.service.look().definition
    trial = Trial(landing=landing, model=model, began=now, before=before)
    claimed = world.memory.save(replace(state, trial=trial))
    if state.trial:
        _write(state.trial.landing, state.trial.model, fleet.SUPERSEDED, now=now, world=world)
    return deploy(claimed, now=now, world=world)


def resume(state: State, *, now: str, world: World) -> Look:
    """Go on for a look that died before it told ECS; leave one alone that may be at it."""
    assert state.trial is not None
    if now < later(state.trial.began, CLAIM_SECONDS):
        raise Busy(f"another look brings {state.trial.model.name} to the fleet")
    again = world.memory.save(replace(state, trial=replace(state.trial, began=now)))
    return deploy(again, now=now, world=world)


def deploy(state: State, *, now: str, world: World) -> Look:
    """Name the model for tasks to load, and have ECS start such tasks."""
    assert state.trial is not None
    trial = state.trial
    version = world.parameter.put(trial.model)
    if state.serving:
        world.parameter.put(state.serving)
    definition = world.service.deploy(version)
    world.memory.save(replace(state, trial=replace(trial, version=version, definition=definition)))
    _write(trial.landing, trial.model, fleet.TRYING, now=now, world=world)
    summary = f"{trial.model.name} is being deployed"
    return Look(outcome=fleet.TRYING, summary=summary, landing=trial.landing)


def settle(*, now: str, world: World) -> Look:
    """Bring to an end what was tried, if ECS says how that went."""
    state = world.memory.state()
    trial = state.trial
    if trial is None:
        return _tidy(state, world=world)
    if not trial.definition:
        return Look(outcome="unchanged", summary=f"{trial.model.name} is about to be deployed")
    sight = world.service.look()
    if sight.definition != trial.definition:
        return overtaken(state, trial, sight, now=now, world=world)
    if sight.rollout == "COMPLETED":
        return keep(state, trial, now=now, world=world)
    if sight.rollout == "FAILED" or now > later(trial.began, world.patience):
        return give_up(state, trial, sight, now=now, world=world)
    return Look(outcome=fleet.TRYING, summary=f"{trial.model.name} is being deployed", landing=trial.landing)


def overtaken(state: State, trial: Trial, sight: Sight, *, now: str, world: World) -> Look:
    """Tell a deployment that went back from one that an update of the stack took the place of.

    The stack's own revision names no version of the parameter. When its rollout has ended the model is tried
    again, on top of it.
    """
    if sight.version is not None or sight.definition == trial.before:
        if sight.definition != trial.before and world.parameter.get(sight.version) == trial.model:
            told = replace(trial, version=sight.version or 0, definition=sight.definition)
            world.memory.save(replace(state, trial=told))  # another look at the same trial told ECS last
            return settle(now=now, world=world)
        if not sight.reason and now < later(trial.began, SHOWN_SECONDS):
            raise Busy(f"ECS does not show yet that {trial.model.name} is being deployed")
        return take_back(state, trial, sight, now=now, world=world)
    if sight.rollout == "COMPLETED":
        world.memory.save(replace(state, trial=replace(trial, before=sight.definition, definition="")))
    summary = f"{trial.model.name} waits for an update of the stack"
    return Look(outcome=fleet.TRYING, summary=summary, landing=trial.landing)


def _tidy(state: State, *, world: World) -> Look:
    """See to it that a task which starts by itself finds the good model, whatever died on the way to that."""
    named = world.parameter.get()
    if state.serving and named != state.serving:
        world.parameter.put(state.serving)
    elif named and not state.serving:
        world.memory.save(state)  # or another look has begun with a model, whose tasks must not go
        _rest(world)
    what = f"{state.serving.name} serves" if state.serving else "no model has landed yet"
    return Look(outcome="unchanged", summary=what, landing=state.landing)


def keep(state: State, trial: Trial, *, now: str, world: World) -> Look:
    """Have a model serve that took the traffic."""
    model, seconds = trial.model, _between(trial.model.landed, now)
    told = f"{_described(model)}\nIt serves since {now}, {seconds:.0f} seconds after it landed."
    world.people.tell(f"The fleet serves {model.name}", told)
    world.parameter.put(model)
    world.memory.save(replace(state, serving=model, landing=trial.landing, trial=None))
    if state.serving and state.landing != trial.landing:
        _write(state.landing, state.serving, fleet.RETIRED, now=now, world=world)
    _write(trial.landing, model, fleet.SERVING, now=now, world=world)
    return Look(outcome=fleet.SERVING, summary=f"{model.name} serves", landing=trial.landing)


def take_back(state: State, trial: Trial, sight: Sight, *, now: str, world: World) -> Look:
    """Remember the bad model, and tell why."""
    reason = world.service.last_words(trial.began) or sight.reason or "its tasks did not get healthy"
    good = state.serving
    still = f"{good.name}, which landed at {good.landed}, goes on serving." if good else "Nothing serves yet."
    world.people.tell(
        f"The fleet refused {trial.model.name}", f"{_described(trial.model)}\n{reason}\n{still}"
    )
    world.memory.save(replace(state, trial=None))
    _write(trial.landing, trial.model, fleet.REFUSED, now=now, world=world, reason=reason)
    if good is None:
        _rest(world)
    summary = f"{trial.model.name} was refused: {reason}"
    return Look(outcome=fleet.REFUSED, summary=summary, landing=trial.landing)


def _rest(world: World) -> None:
    """Have no tasks where there is nothing to serve; the name of the bad one goes last, to be found by."""
    world.service.rest()
    world.parameter.clear()


def give_up(state: State, trial: Trial, sight: Sight, *, now: str, world: World) -> Look:
    """Go back to the revision of before where ECS has not done so.

    It does not when nothing had completed since the last time that it went back, and may not see that tasks
    which ran end one after the other.
    """
    if state.serving:
        world.service.back(trial.before)
    if sight.rollout != "FAILED" and not sight.reason:
        slow = f"its tasks did not get healthy within {world.patience:.0f} seconds"
        sight = replace(sight, reason=slow)
    return take_back(state, trial, sight, now=now, world=world)


def _refuse(landed: Landed, flaw: str, *, now: str, world: World, sha256: str = "") -> None:
    """Remember a model that no task has seen, and tell why."""
    place = f"s3://{landed.bucket}/{landed.key}, version {landed.version_id}"
    world.people.tell(f"The fleet refused {landed.name}", f"{place}\n{flaw}\nNo task has loaded it.")
    world.memory.write(
        Record(
            id=landed.id,
            name=landed.name,
            key=landed.key,
            version_id=landed.version_id,
            landed=landed.landed,
            status=fleet.REFUSED,
            at=now,
            sha256=sha256,
            size=landed.size,
            reason=flaw,
        )
    )


def _write(landing: str, model: Model, status: str, *, now: str, world: World, reason: str = "") -> None:
    world.memory.write(
        Record(
            id=landing,
            name=model.name,
            key=model.key,
            version_id=model.version_id,
            landed=model.landed,
            status=status,
            at=now,
            sha256=model.sha256,
            size=model.size,
            reason=reason,
        )
    )


def _described(model: Model) -> str:
    return (
        f"s3://{model.bucket}/{model.key}, version {model.version_id}\n"
        f"SHA-256 {model.sha256}, {model.size:,} bytes, landed at {model.landed}"
    )


def later(moment: str, seconds: float) -> str:
    """Return a later moment."""
    return (datetime.fromisoformat(moment) + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def _between(one: str, other: str) -> float:
    return (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()
