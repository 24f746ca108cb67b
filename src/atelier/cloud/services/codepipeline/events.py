"""The events that EventBridge gets: whatever differs between two states of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from atelier.cloud.services.codepipeline.declaration import Declaration, action_named
from atelier.cloud.services.codepipeline.runs import ActionRun, Artifact, Run, StageRun

KINDS = {level: f"CodePipeline {level} Execution State Change" for level in ("Pipeline", "Stage", "Action")}
STATES = {
    "InProgress": "STARTED",
    "Stopping": "STOPPING",
    "Stopped": "STOPPED",
    "Succeeded": "SUCCEEDED",
    "Failed": "FAILED",
    "Superseded": "SUPERSEDED",
    "Cancelled": "CANCELED",
    "Abandoned": "ABANDONED",
}


@dataclass(frozen=True)
class Event:
    """One event, as `Events.publish` takes it."""

    kind: str
    detail: Mapping[str, Any]


def between(before: Run | None, after: Run, declaration: Declaration, region: str) -> list[Event]:
    """Return the events of one move: what begins is told from outside in, what ends from inside out."""
    outer = [*_of_run(before, after), *_of_stages(before, after)]
    inner = list(_of_actions(before, after, declaration, region))
    begins = [event for event in outer if event.detail["state"] in {"STARTED", "RESUMED", "STOPPING"}]
    ends = [event for event in reversed(outer) if event not in begins]
    return [*begins, *inner, *ends]


def _common(run: Run) -> dict[str, Any]:
    return {
        "pipeline": run.pipeline,
        "execution-id": run.id,
        "start-time": run.started,
        "version": float(run.version),
        "pipeline-execution-attempt": float(run.attempt),
    }


def _of_run(before: Run | None, after: Run) -> Iterator[Event]:
    if before and before.status == after.status:
        return
    detail = {**_common(after), "state": STATES[after.status]}
    if before and after.status == "InProgress":
        detail["state"] = "RESUMED"
    if before is None:
        detail["execution-trigger"] = {"trigger-type": after.trigger, "trigger-detail": after.trigger_detail}
    if after.stop_reason is not None:
        detail["stop-execution-reason"] = after.stop_reason
    yield Event(KINDS["Pipeline"], detail)


def _of_stages(before: Run | None, after: Run) -> Iterator[Event]:
    earlier = {stage.name: stage for stage in before.stages} if before else {}
    for stage in after.stages:
        state = _stage_state(earlier.get(stage.name), stage)
        if state:
            yield Event(KINDS["Stage"], {**_common(after), "stage": stage.name, "state": state})


def _stage_state(before: StageRun | None, after: StageRun) -> str | None:
    if before and (before.status, before.attempt) == (after.status, after.attempt):
        return None
    return "RESUMED" if before and after.status == "InProgress" else STATES[after.status]


def _of_actions(before: Run | None, after: Run, declaration: Declaration, region: str) -> Iterator[Event]:
    earlier = {action.id: action.status for action in before.actions} if before else {}
    for action in after.actions:
        if earlier.get(action.id) != action.status:
            declared = action_named(declaration, action.stage, action.action)
            yield Event(KINDS["Action"], {**_common(after), **_action(action, declared, region)})


def _action(action: ActionRun, declared: Mapping[str, Any], region: str) -> dict[str, Any]:
    detail = {
        "stage": action.stage,
        "action": action.action,
        "action-execution-id": action.id,
        "state": STATES[action.status],
        "region": region,
        "type": dict(declared["actionTypeId"]),
        "input-artifacts": [_artifact(each) for each in action.inputs],
        "output-artifacts": [_artifact(each) for each in action.outputs],
    }
    result = {
        "external-execution-url": action.external_url,
        "external-execution-summary": action.failure.message if action.failure else action.summary,
        "external-execution-id": action.external_id,
        "error-code": action.failure.code if action.failure else "",
    }
    if given := {key: value for key, value in result.items() if value}:
        detail["execution-result"] = given
    return detail


def _artifact(artifact: Artifact) -> dict[str, Any]:
    return {"name": artifact.name, "s3location": {"bucket": artifact.bucket, "key": artifact.key}}
