"""What happened to one pipeline execution: frozen values, changed only by the moves below.

One `Run` is one record of the store, so that every move is one write: a kill of the process leaves the state
before it or after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Status = Literal[
    "InProgress", "Stopping", "Stopped", "Succeeded", "Failed", "Superseded", "Cancelled", "Abandoned"
]
LIVE = frozenset({"InProgress", "Stopping"})


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A zip in the artifact bucket that actions hand on by name."""

    name: str
    bucket: str
    key: str
    revision: str | None = None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an action failed, as errorDetails shows it."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class ActionRun:
    """One attempt at one action; *memory* is what it needs to be taken up again by another process."""

    id: str
    stage: str
    action: str
    attempt: int
    started: str
    updated: str
    status: Status = "InProgress"
    by: str = ""
    configuration: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Artifact, ...] = ()
    outputs: tuple[Artifact, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    external_id: str = ""
    external_url: str = ""
    log: str = ""
    summary: str = ""
    percent: int | None = None
    failure: Failure | None = None
    token: str = ""
    revision: Mapping[str, str] | None = None
    memory: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_live(self) -> bool:
        """Say whether this attempt still goes on."""
        return self.status in LIVE


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """A stage that a run has entered; successes count from attempt *since* on."""

    name: str
    entered: str
    status: Status = "InProgress"
    attempt: int = 1
    since: int = 1


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution of a pipeline; *number* orders the executions as they were started."""

    id: str
    pipeline: str
    version: int
    number: int
    started: str
    updated: str
    trigger: str
    trigger_detail: str = ""
    status: Status = "InProgress"
    summary: str = ""
    attempt: int = 1
    variables: Mapping[str, str] = field(default_factory=dict)
    revisions: Mapping[str, str] = field(default_factory=dict)
    request_token: str = ""
    stop_reason: str | None = None
    stages: tuple[StageRun, ...] = ()
    actions: tuple[ActionRun, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_live(self) -> bool:
        """Say whether this execution still goes on."""
        return self.status in LIVE

    @property
    def stage(self) -> StageRun | None:
        """Return the stage that was entered last."""
        return self.stages[-1] if self.stages else None

    @property
    def holds(self) -> StageRun | None:
        """Return the stage that this run occupies."""
        return self.stage if self.is_live and self.stage and self.stage.status in LIVE else None

    def action(self, action_id: str) -> ActionRun:
        """Return one attempt by its id; raise KeyError."""
        for each in self.actions:
            if each.id == action_id:
                return each
        raise KeyError(action_id)

    def latest(self, stage: str, action: str) -> ActionRun | None:
        """Return the last attempt at an action."""
        found = [each for each in self.actions if (each.stage, each.action) == (stage, action)]
        return found[-1] if found else None

    def current(self, stage: StageRun, action: str) -> ActionRun | None:
        """Return the attempt that counts in the stage's present attempt, None when it must begin (again)."""
        last = self.latest(stage.name, action)
        if last is None or last.attempt == stage.attempt:
            return last
        return last if last.status == "Succeeded" and last.attempt >= stage.since else None

    def artifacts(self) -> dict[str, Artifact]:
        """Return what succeeded actions handed on, by artifact name."""
        return {artifact.name: artifact for each in self._succeeded() for artifact in each.outputs}

    def outputs(self, stage: str, action: str) -> Mapping[str, str]:
        """Return the output variables of an action's last success."""
        found = [each for each in self._succeeded() if (each.stage, each.action) == (stage, action)]
        return found[-1].variables if found else {}

    def _succeeded(self) -> Iterable[ActionRun]:
        return (each for each in self.actions if each.status == "Succeeded")

    # the moves

    def enter(self, stage: str, now: str) -> Run:
        """Enter a stage."""
        return replace(self, stages=(*self.stages, StageRun(name=stage, entered=now)), updated=now)

    def begin(self, action: ActionRun) -> Run:
        """Begin an attempt at an action."""
        return replace(self, actions=(*self.actions, action), updated=action.started)

    def change(self, action_id: str, now: str, **values: Any) -> Run:
        """Change an attempt that still goes on."""
        actions = (
            replace(each, updated=now, **values) if each.id == action_id else each for each in self.actions
        )
        return replace(self, actions=tuple(actions), updated=now)

    def close_stage(self, status: Status, now: str) -> Run:
        """End the present stage."""
        return replace(self, stages=self._stages(status=status), updated=now)

    def close(self, status: Status, now: str, summary: str = "") -> Run:
        """End the execution, and with it what still goes on in it."""
        run = self
        if self.holds:
            run = run.abandon(now).close_stage("Cancelled" if status == "Cancelled" else "Stopped", now)
        return replace(run, status=status, updated=now, summary=summary)

    def stop(self, reason: str, now: str, *, abandon: bool) -> Run:
        """Ask the execution to stop: after its running actions, or without waiting for them."""
        stages = self._stages(status="Stopping") if self.holds else self.stages
        run = replace(self, status="Stopping", stop_reason=reason, stages=stages, updated=now)
        return run.abandon(now) if abandon else run

    def abandon(self, now: str) -> Run:
        """Give up the running actions."""
        actions = (
            replace(each, status="Abandoned", updated=now, token="") if each.is_live else each
            for each in self.actions
        )
        return replace(self, actions=tuple(actions), updated=now)

    def retry(self, now: str, *, everything: bool) -> Run:
        """Enter the failed stage again; what succeeded there counts, unless *everything* is to run again."""
        stage = self.stages[-1]
        attempt = stage.attempt + 1
        since = attempt if everything else stage.since
        stages = self._stages(status="InProgress", attempt=attempt, since=since)
        return replace(
            self, status="InProgress", stages=stages, attempt=self.attempt + 1, stop_reason=None, updated=now
        )

    def _stages(self, **values: Any) -> tuple[StageRun, ...]:
        return (*self.stages[:-1], replace(self.stages[-1], **values))


def to_record(run: Run) -> dict[str, Any]:
    """Return the run as the store keeps it."""
    return asdict(run)


def from_record(record: Mapping[str, Any]) -> Run:
    """Return the run that the store kept."""
    return Run(
        **{
            **record,
            "stages": _many(StageRun, record["stages"]),
            "actions": tuple(_action(each) for each in record["actions"]),
            "events": tuple(record["events"]),
        }
    )


def _action(record: Mapping[str, Any]) -> ActionRun:
    failure = record["failure"]
    return ActionRun(
        **{
            **record,
            "inputs": _many(Artifact, record["inputs"]),
            "outputs": _many(Artifact, record["outputs"]),
            "failure": Failure(**failure) if failure else None,
        }
    )


def _many(kind: Callable[..., Any], records: Iterable[Mapping[str, Any]]) -> tuple[Any, ...]:
    return tuple(kind(**each) for each in records)
