"""The shell around the core: applies steps, keeps every move, starts actions' threads, publishes events."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.codepipeline import events, schedule
from atelier.cloud.services.codepipeline.history import History
from atelier.cloud.services.codepipeline.pipelines import Pipelines, is_open
from atelier.cloud.services.codepipeline.publisher import Publisher
from atelier.cloud.services.codepipeline.runs import ActionRun, Run
from atelier.cloud.services.codepipeline.schedule import (
    Begin,
    Close,
    CloseStage,
    Enter,
    Step,
    Supersede,
)

CLOSE_WITHIN = 5.0

Work = Callable[["Engine", str, str], None]
"""(engine, run id, action id): carries one action to its end; runs in a thread of its own."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How often the engine looks, in seconds; *now* is the clock of timeouts and records."""

    poll: float = 0.5
    continuation: float = 1.5
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Start:
    """What an execution is started with."""

    trigger: str
    detail: str = ""
    variables: Mapping[str, str] | None = None
    revisions: Mapping[str, str] | None = None
    token: str = ""


class Engine:
    """All running pipelines of one cloud.

    `changed` is the one lock: every move is decided, written and announced under it, and threads that wait
    for a move wait on it. Nothing slow happens while it is held.
    """

    def __init__(self, cloud: Cloud, work: Work, settings: Settings) -> None:
        self.cloud = cloud
        self.settings = settings
        self.pipelines = Pipelines(cloud.store)
        self.history = History(cloud.store)
        self.changed = threading.Condition(threading.RLock())
        self.closing = False
        self._work = work
        self._threads: list[threading.Thread] = []
        self._publisher = Publisher(cloud, self._told)

    # life

    def resume(self) -> None:
        """Take up again what another process left: unpublished events, running actions, due steps."""
        with self.changed:
            self._threads.append(self.cloud.spawn(self._publisher.run))
            for run in self.history.all():
                self._publisher.offer(run.id, run.events)
                for action in run.actions:
                    if action.is_live:
                        self._launch(run.id, action.id)
            for name in self.pipelines.names():
                self.advance(name)

    def close(self) -> None:
        """End all threads, and leave running actions as they are: the next start takes them up."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self._publisher.close()
        end = time.monotonic() + CLOSE_WITHIN  # a function that is being called may take longer: it is left
        for thread in self._threads:
            thread.join(timeout=max(0.0, end - time.monotonic()))

    def wait_for_close(self, seconds: float) -> None:
        """Wait for the cloud to go down, at most *seconds*."""
        with self.changed:
            self.changed.wait_for(lambda: self.closing, timeout=seconds)

    def now(self) -> str:
        """Return the time, as records keep it."""
        return self.settings.now().isoformat()

    # moves of runs

    def start(self, name: str, start: Start) -> str:
        """Start an execution and return its id; the same token gets the same execution."""
        with self.changed:
            record, runs = self.pipelines.get(name), self.history.of(name)
            for run in runs:
                if start.token and run.request_token == start.token:
                    return run.id
            run = Run(
                id=str(uuid.uuid4()),
                pipeline=name,
                version=record["version"],
                number=max((each.number for each in runs), default=0) + 1,
                started=self.now(),
                updated=self.now(),
                trigger=start.trigger,
                trigger_detail=start.detail[:1024],
                variables=dict(start.variables or {}),
                revisions=dict(start.revisions or {}),
                request_token=start.token,
            )
            self.commit(run)
            self.advance(name)
            return run.id

    def commit(self, after: Run) -> None:
        """Keep one move with the events it causes, and tell everyone who waits."""
        with self.changed:
            before = self._before(after.id)
            declaration = self.pipelines.declaration(after.pipeline, after.version)
            happened = events.between(before, after, declaration, self.cloud.region)
            told = [asdict(event) for event in happened]
            waiting = self._publisher.waiting(after.id)
            self.history.put(replace(after, events=(*waiting, *told)))
            self._publisher.offer(after.id, told)
            self.changed.notify_all()

    def _told(self, run_id: str) -> None:
        """Forget the events that are out, so that the next start does not repeat them."""
        with self.changed:
            run = self._before(run_id)
            if run and run.events and not self._publisher.waiting(run_id):
                self.history.put(replace(run, events=()))

    def _before(self, run_id: str) -> Run | None:
        try:
            return self.history.get(run_id)
        except KeyError:
            return None

    def advance(self, name: str) -> None:
        """Take every step that is due in a pipeline."""
        with self.changed:
            record, declaration = self.pipelines.get(name), self.pipelines.declaration(name)
            stages = schedule.plan(declaration)
            while step := schedule.next_step(
                stages, self.history.of(name), lambda index: is_open(record, declaration, index)
            ):
                self._take(step)

    def _take(self, step: Step) -> None:
        run, now = self.history.get(step.run), self.now()
        match step:
            case Supersede(by=by):
                self.commit(run.close("Superseded", now, f"Superseded by {by}"))
            case Enter(stage=stage):
                self.commit(run.enter(stage, now))
            case Begin():
                self._begin(run, step, now)
            case CloseStage(status=status):
                self.commit(run.close_stage(status, now))
            case Close(status=status):
                self.commit(run.close(status, now))

    def _begin(self, run: Run, step: Begin, now: str) -> None:
        action = ActionRun(
            id=str(uuid.uuid4()),
            stage=step.stage,
            action=step.action,
            attempt=run.stages[-1].attempt,
            started=now,
            updated=now,
        )
        self.commit(run.begin(action))
        self._launch(run.id, action.id)

    def _launch(self, run_id: str, action_id: str) -> None:
        if not self.closing:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._threads.append(self.cloud.spawn(self._work, self, run_id, action_id))

    # moves of actions

    def live(self, run_id: str, action_id: str) -> ActionRun | None:
        """Return an action while it goes on, else None: it was settled, abandoned or deleted."""
        with self.changed:
            run = self._before(run_id)
            action = run.action(action_id) if run else None
            return action if action and action.is_live else None

    def note(self, run_id: str, action_id: str, **values: Any) -> bool:
        """Change a running action; say whether it still runs."""
        with self.changed:
            if self.live(run_id, action_id) is None:
                return False
            self.commit(self.history.get(run_id).change(action_id, self.now(), **values))
            return True

    def settle(self, run_id: str, action_id: str, **values: Any) -> bool:
        """End a running action with a status, and go on; False when somebody else has ended it."""
        with self.changed:
            if not self.note(run_id, action_id, token="", **values):
                return False
            self.advance(self.history.get(run_id).pipeline)
            return True

    # pipelines

    def update(self, declaration: Mapping[str, Any]) -> None:
        """Give a pipeline its next version; executions of the former one are cancelled."""
        with self.changed:
            name = declaration["name"]
            self.pipelines.get(name)
            for run in self.history.of(name):
                if run.is_live:
                    summary = "The pipeline's structure was updated before the execution was complete"
                    self.commit(run.close("Cancelled", self.now(), summary))
            self.pipelines.update(declaration, self.now())

    def delete(self, name: str) -> None:
        """Forget a pipeline and its executions; their actions end at the next look."""
        with self.changed:
            for run in self.history.of(name):
                self._publisher.forget(run.id)
            self.history.forget(name)
            self.pipelines.delete(name)
            self.changed.notify_all()
