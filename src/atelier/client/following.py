"""A run of the training pipeline, followed to its end: every change is one event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atelier.client.pipelines import Action, Execution, Pipelines
from atelier.client.training import Progress, Watch, name_of

if TYPE_CHECKING:
    from atelier.client.session import Clients

PATIENCE = 5
"""Looks at a run that stands still before it is asked why."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """An action began or ended, or says something new."""

    execution: Execution
    action: Action


@dataclass(frozen=True, kw_only=True)
class Learned:
    """The training job is further."""

    execution: Execution
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A person has to decide; told once for each approval."""

    execution: Execution
    action: Action


@dataclass(frozen=True, kw_only=True)
class Held:
    """Another run waits for a person where this one wants to pass; told once for each such run."""

    execution: Execution
    by: str


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Nothing more will happen."""

    execution: Execution


Event = Moved | Learned | Asked | Held | Finished


def follow(
    clients: Clients,
    pipeline: str,
    execution_id: str,
    *,
    every: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """Yield what happens in a run until it ends."""
    pause = every or (0.4 if clients.is_local else 3.0)
    pipelines, follower = Pipelines(clients=clients), _Follower(clients)
    while True:
        execution = pipelines.execution(pipeline, execution_id)
        yield from follower.changes(execution)
        yield from follower.held(execution)
        if execution.has_ended:
            yield Finished(execution=execution)
            return
        sleep(pause)


class _Follower:
    """Remembers what was told already."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._told: dict[tuple[str, str], tuple[str, str]] = {}
        self._asking: set[tuple[str, str]] = set()
        self._watches: dict[str, Watch | None] = {}
        self._finished: set[str] = set()
        self._idle = 0
        self._holders: set[str] = set()

    def changes(self, execution: Execution) -> Iterator[Event]:
        for action in execution.actions:
            key, now = (action.stage, action.name), (action.status, action.summary)
            if action.started is None:
                continue
            if self._told.get(key) != now:
                self._told[key] = now
                yield Moved(execution=execution, action=action)
            if not action.is_waiting:
                self._asking.discard(key)
            elif key not in self._asking:
                self._asking.add(key)
                yield Asked(execution=execution, action=action)
        yield from self._learned(execution)

    def held(self, execution: Execution) -> Iterator[Held]:
        """Say who holds a run up that has stood still for some looks."""
        moves = execution.has_ended or any(each.status == "InProgress" for each in execution.actions)
        self._idle = 0 if moves else self._idle + 1
        if self._idle < PATIENCE:
            return
        self._idle = 0
        by = Pipelines(clients=self._clients).waiting(execution.pipeline)
        if by is not None and by != execution.id and by not in self._holders:
            self._holders.add(by)
            yield Held(execution=execution, by=by)

    def _learned(self, execution: Execution) -> Iterator[Learned]:
        for action in execution.actions:
            watch = self._watch(action)
            if watch is None:
                continue
            if action.status != "InProgress":  # one last look, for the lines after the one before
                self._finished.add(action.external_id)
            before = watch.progress
            if (progress := watch.look()) != before:
                yield Learned(execution=execution, progress=progress)

    def _watch(self, action: Action) -> Watch | None:
        """Return what watches the training job of a flow that an action runs."""
        flow = action.external_id
        if ":states:" not in flow or flow in self._finished:
            return None
        if flow not in self._watches:
            name = name_of(self._clients, flow)
            self._watches[flow] = Watch(self._clients, name) if name else None
        return self._watches[flow]
