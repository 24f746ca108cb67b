"""Operations that show pipelines' state and history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.codepipeline.declaration import Declaration, action_named
from atelier.cloud.services.codepipeline.engine import Engine
from atelier.cloud.services.codepipeline.paging import page
from atelier.cloud.services.codepipeline.runs import ActionRun, Artifact, Run
from atelier.cloud.services.codepipeline.service import SERVICE, engine_of, on
from atelier.cloud.services.wire import Document

STAGE_STATUS = {"Superseded": "Cancelled", "Abandoned": "Stopped"}


@SERVICE.operation("GetPipelineExecution", on=on("pipelineName"))
def get_pipeline_execution(cloud: Cloud, request: Document) -> Document:
    """Show one execution."""
    engine = engine_of(cloud)
    engine.pipelines.get(request["pipelineName"])
    run = engine.history.find(request["pipelineName"], request["pipelineExecutionId"])
    return {
        "pipelineExecution": {
            "pipelineName": run.pipeline,
            "pipelineVersion": run.version,
            "pipelineExecutionId": run.id,
            "status": run.status,
            "statusSummary": run.summary or None,
            "artifactRevisions": [
                _artifact_revision(source, output) for source in _sources(run) for output in source.outputs
            ],
            "variables": [{"name": key, "resolvedValue": value} for key, value in run.variables.items()],
            "trigger": _trigger(run),
            "executionMode": "SUPERSEDED",
            "executionType": "STANDARD",
        }
    }


def _trigger(run: Run) -> Document:
    return {"triggerType": run.trigger, "triggerDetail": run.trigger_detail}


def _sources(run: Run) -> list[ActionRun]:
    return [action for action in run.actions if action.status == "Succeeded" and action.revision]


def _artifact_revision(source: ActionRun, output: Artifact) -> Document:
    revision = source.revision or {}
    return {
        "name": output.name,
        "revisionId": revision["id"],
        "revisionSummary": revision["summary"],
        "created": revision["created"],
    }


@SERVICE.operation("ListPipelineExecutions", on=on("pipelineName"))
def list_pipeline_executions(cloud: Cloud, request: Document) -> Document:
    """List executions, the newest first."""
    engine = engine_of(cloud)
    engine.pipelines.get(request["pipelineName"])
    runs = engine.history.of(request["pipelineName"])[::-1]
    wanted = request.get("filter", {}).get("succeededInStage", {}).get("stageName")
    if wanted:
        runs = [run for run in runs if (wanted, "Succeeded") in {(s.name, s.status) for s in run.stages}]
    found, token = page(runs, request, 100)
    return {"pipelineExecutionSummaries": [_summary(run) for run in found], "nextToken": token}


def _summary(run: Run) -> Document:
    return {
        "pipelineExecutionId": run.id,
        "status": run.status,
        "statusSummary": run.summary or None,
        "startTime": run.started,
        "lastUpdateTime": run.updated,
        "sourceRevisions": [_source_revision(source) for source in _sources(run)],
        "trigger": _trigger(run),
        "stopTrigger": {"reason": run.stop_reason} if run.stop_reason else None,
        "executionMode": "SUPERSEDED",
        "executionType": "STANDARD",
    }


def _source_revision(source: ActionRun) -> Document:
    revision = source.revision or {}
    return {
        "actionName": source.action,
        "revisionId": revision["id"],
        "revisionSummary": revision["summary"],
    }


@SERVICE.operation("ListActionExecutions", on=on("pipelineName"))
def list_action_executions(cloud: Cloud, request: Document) -> Document:
    """List actions' executions, the newest first."""
    engine, name = engine_of(cloud), request["pipelineName"]
    engine.pipelines.get(name)
    wanted = request.get("filter", {})
    latest = wanted.get("latestInPipelineExecution", {})
    run_id = wanted.get("pipelineExecutionId") or latest.get("pipelineExecutionId")
    runs = [engine.history.find(name, run_id)] if run_id else engine.history.of(name)
    pairs = [(run, action) for run in runs for action in run.actions]
    if latest.get("startTimeRange") == "Latest":
        pairs = [pair for pair in pairs if pair[0].latest(pair[1].stage, pair[1].action) is pair[1]]
    pairs.sort(key=lambda pair: pair[1].started)
    found, token = page(pairs[::-1], request, 100)
    return {"actionExecutionDetails": [_detail(engine, *pair) for pair in found], "nextToken": token}


def _detail(engine: Engine, run: Run, action: ActionRun) -> Document:
    declaration = engine.pipelines.declaration(run.pipeline, run.version)
    declared = action_named(declaration, action.stage, action.action)
    return {
        "pipelineExecutionId": run.id,
        "actionExecutionId": action.id,
        "pipelineVersion": run.version,
        "stageName": action.stage,
        "actionName": action.action,
        "startTime": action.started,
        "lastUpdateTime": action.updated,
        "updatedBy": action.by or None,
        "status": action.status,
        "input": {
            "actionTypeId": declared["actionTypeId"],
            "configuration": declared.get("configuration", {}),
            "resolvedConfiguration": dict(action.configuration),
            "roleArn": declared.get("roleArn"),
            "region": engine.cloud.region,
            "inputArtifacts": [_artifact(each) for each in action.inputs],
            "namespace": declared.get("namespace"),
        },
        "output": {
            "outputArtifacts": [_artifact(each) for each in action.outputs],
            "executionResult": _result(action),
            "outputVariables": dict(action.variables),
        },
    }


def _result(action: ActionRun) -> Document:
    return {
        "externalExecutionId": action.external_id or None,
        "externalExecutionSummary": action.summary or None,
        "externalExecutionUrl": action.external_url or None,
        "errorDetails": _error(action),
        "logStreamARN": action.log or None,
    }


def _artifact(artifact: Artifact) -> Document:
    return {"name": artifact.name, "s3location": {"bucket": artifact.bucket, "key": artifact.key}}


def _error(action: ActionRun) -> Document | None:
    failure = action.failure
    return {"code": failure.code, "message": failure.message} if failure else None


@SERVICE.operation("GetPipelineState", on=on("name"))
def get_pipeline_state(cloud: Cloud, request: Document) -> Document:
    """Show where a pipeline stands, stage by stage."""
    engine, name = engine_of(cloud), request["name"]
    with engine.changed:
        record, declaration = engine.pipelines.get(name), engine.pipelines.declaration(name)
        runs = engine.history.of(name)
    return {
        "pipelineName": name,
        "pipelineVersion": record["version"],
        "stageStates": [_stage(record, declaration, runs, i) for i in range(len(declaration["stages"]))],
        "created": record["created"],
        "updated": record["updated"],
    }


def _stage(record: Mapping[str, Any], declaration: Declaration, runs: Sequence[Run], index: int) -> Document:
    stage = declaration["stages"][index]
    state: Document = {
        "stageName": stage["name"],
        "inboundTransitionState": _transition(record, declaration, index),
        "actionStates": [
            _action(declaration, runs, stage["name"], each["name"]) for each in stage["actions"]
        ],
    }
    entered = [(run, each) for run in runs for each in run.stages if each.name == stage["name"]]
    if entered:
        run, last = max(entered, key=lambda pair: pair[1].entered)
        state["latestExecution"] = _execution(run.id, last.status)
    waiting = [run for run in runs if run.is_live and not run.holds and len(run.stages) == index]
    if waiting:
        inbound = _execution(waiting[-1].id, "InProgress")
        state |= {"inboundExecution": inbound, "inboundExecutions": [inbound]}
    return state


def _execution(run_id: str, status: str) -> Document:
    status = STAGE_STATUS.get(status, status)
    return {"pipelineExecutionId": run_id, "status": status, "type": "STANDARD"}


def _transition(record: Mapping[str, Any], declaration: Declaration, index: int) -> Document:
    names = [stage["name"] for stage in declaration["stages"]]
    ways = [f"{names[index]}:Inbound", *([f"{names[index - 1]}:Outbound"] if index else [])]
    closed = next((record["closed"][way] for way in ways if way in record["closed"]), None)
    if closed is None:
        return {"enabled": True}
    return {
        "enabled": False,
        "lastChangedBy": closed["by"],
        "lastChangedAt": closed["at"],
        "disabledReason": closed["reason"],
    }


def _action(declaration: Declaration, runs: Sequence[Run], stage: str, name: str) -> Document:
    state: Document = {"actionName": name}
    latest = [action for run in runs if (action := run.latest(stage, name))]
    if not latest:
        return state
    action = max(latest, key=lambda each: each.started)
    state["latestExecution"] = {
        "actionExecutionId": action.id,
        "status": action.status,
        "summary": action.summary or None,
        "lastStatusChange": action.updated,
        "token": action.token or None,
        "lastUpdatedBy": action.by or None,
        "externalExecutionId": action.external_id or None,
        "externalExecutionUrl": action.external_url or None,
        "percentComplete": action.percent,
        "errorDetails": _error(action),
        "logStreamARN": action.log or None,
    }
    if action.revision:
        state["currentRevision"] = {
            "revisionId": action.revision["id"],
            "revisionChangeId": action.revision["id"],
            "created": action.revision["created"],
        }
    link = action_named(declaration, stage, name).get("configuration", {}).get("ExternalEntityLink")
    if link:
        state["entityUrl"] = action.configuration.get("ExternalEntityLink", link)
    return state
