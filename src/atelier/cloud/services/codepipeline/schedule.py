"""What happens next in a pipeline: one step at a time, derived from nothing but the present state.

A step is never remembered. It follows from the runs, is applied, and the question is asked again; so a
process that was killed between two steps goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from atelier.cloud.services.codepipeline.runs import ActionRun, Run, StageRun, Status


@dataclass(frozen=True)
class StagePlan:
    """A stage's actions in groups of one runOrder; a group runs in parallel."""

    name: str
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Supersede:
    """A newer run waits at the same door: the older one ends."""

    run: str
    by: str


@dataclass(frozen=True)
class Enter:
    """A run enters its next stage."""

    run: str
    stage: str


@dataclass(frozen=True)
class Begin:
    """An action of the present stage begins."""

    run: str
    stage: str
    action: str


@dataclass(frozen=True)
class CloseStage:
    """Nothing of the present stage goes on any more."""

    run: str
    status: Status


@dataclass(frozen=True)
class Close:
    """A run is at its end."""

    run: str
    status: Status


Step = Supersede | Enter | Begin | CloseStage | Close


def plan(declaration: Mapping[str, Any]) -> tuple[StagePlan, ...]:
    """Return the stages of a declaration with their actions in order."""
    return tuple(StagePlan(stage["name"], _groups(stage["actions"])) for stage in declaration["stages"])


def _groups(actions: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], ...]:
    def order(action: Mapping[str, Any]) -> int:
        return int(action.get("runOrder", 1))

    ordered = sorted(actions, key=order)
    return tuple(tuple(each["name"] for each in group) for _, group in groupby(ordered, key=order))


def next_step(
    stages: Sequence[StagePlan], runs: Sequence[Run], is_open: Callable[[int], bool] = lambda index: True
) -> Step | None:
    """Return the next step, or None when everything waits for something outside.

    *is_open* says whether the transition into the stage of this index is enabled.
    """
    live = sorted((run for run in runs if run.is_live), key=lambda run: run.number)
    for run in live:
        step = _inside(stages, run) if run.holds else _between(stages, run)
        if step:
            return step
    return _at_the_doors(stages, live, is_open)


def _inside(stages: Sequence[StagePlan], run: Run) -> Step | None:
    stage = run.stages[-1]
    groups = stages[len(run.stages) - 1].groups
    for group in groups:
        attempts = {action: run.current(stage, action) for action in group}
        if any(attempt is None or attempt.status != "Succeeded" for attempt in attempts.values()):
            return _in_group(run, stage, attempts)
    return CloseStage(run.id, "Stopped" if run.status == "Stopping" else "Succeeded")


def _in_group(run: Run, stage: StageRun, attempts: Mapping[str, ActionRun | None]) -> Step | None:
    todo = [action for action, attempt in attempts.items() if attempt is None]
    if todo and run.status != "Stopping":
        return Begin(run.id, stage.name, todo[0])
    if any(attempt and attempt.is_live for attempt in attempts.values()):
        return None
    return CloseStage(run.id, "Stopped" if run.status == "Stopping" else "Failed")


def _between(stages: Sequence[StagePlan], run: Run) -> Step | None:
    if run.status == "Stopping" or (run.stage and run.stage.status == "Stopped"):
        return Close(run.id, "Stopped")
    if run.stage and run.stage.status == "Failed":
        return Close(run.id, "Failed")
    return Close(run.id, "Succeeded") if len(run.stages) == len(stages) else None


def _at_the_doors(
    stages: Sequence[StagePlan], live: Sequence[Run], is_open: Callable[[int], bool]
) -> Step | None:
    occupied = {len(run.stages) - 1 for run in live if run.holds}
    waiting = [run for run in live if not run.holds]
    for index, stage in enumerate(stages):
        queue = [run for run in waiting if len(run.stages) == index]
        if len(queue) > 1:
            return Supersede(queue[0].id, queue[-1].id)
        if queue and index not in occupied and is_open(index):
            return Enter(queue[0].id, stage.name)
    return None
