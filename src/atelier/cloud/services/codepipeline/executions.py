"""Operations on executions: start, stop, retry, and what approvers and functions report."""

from __future__ import annotations

from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.codepipeline import jobs
from atelier.cloud.services.codepipeline.declaration import action_named
from atelier.cloud.services.codepipeline.engine import Engine
from atelier.cloud.services.codepipeline.runs import ActionRun, Failure, Run
from atelier.cloud.services.codepipeline.service import SERVICE, begin, engine_of, on
from atelier.cloud.services.wire import Document, ServiceError, everything

OUTPUT_VARIABLE_BYTES = 122_880


@SERVICE.operation("StartPipelineExecution", on=on("name"))
def start(cloud: Cloud, request: Document) -> Document:
    """Start an execution."""
    run_id = begin(
        cloud,
        request["name"],
        trigger="StartPipelineExecution",
        detail=cloud.identity.caller().arn,
        given=request,
        token=request.get("clientRequestToken", ""),
    )
    return {"pipelineExecutionId": run_id}


@SERVICE.operation("StopPipelineExecution", on=on("pipelineName"))
def stop(cloud: Cloud, request: Document) -> Document:
    """Stop an execution, after its running actions or at once."""
    engine, abandon = engine_of(cloud), request.get("abandon", False)
    with engine.changed:
        engine.pipelines.get(request["pipelineName"])
        run = engine.history.find(request["pipelineName"], request["pipelineExecutionId"])
        if not run.is_live:
            raise ServiceError(
                "PipelineExecutionNotStoppableException", f"The execution {run.id} is {run.status}"
            )
        if run.status == "Stopping" and not abandon:
            raise ServiceError(
                "DuplicatedStopRequestException", f"The execution {run.id} is stopping already"
            )
        engine.commit(run.stop(request.get("reason", ""), engine.now(), abandon=abandon))
        engine.advance(run.pipeline)
    return {"pipelineExecutionId": run.id}


@SERVICE.operation("RetryStageExecution", on=on("pipelineName", "stageName"))
def retry(cloud: Cloud, request: Document) -> Document:
    """Run the failed actions of a stage again, or all of them."""
    engine, name, stage = engine_of(cloud), request["pipelineName"], request["stageName"]
    with engine.changed:
        _find_stage(engine, name, stage)
        run = engine.history.find(name, request["pipelineExecutionId"])
        _check_retryable(engine, run, stage)
        everything_again = request["retryMode"] == "ALL_ACTIONS"
        engine.commit(run.retry(engine.now(), everything=everything_again))
        engine.advance(name)
    return {"pipelineExecutionId": run.id}


def _find_stage(engine: Engine, name: str, stage: str) -> Document:
    for each in engine.pipelines.declaration(name)["stages"]:
        if each["name"] == stage:
            return dict(each)
    raise ServiceError("StageNotFoundException", f"The pipeline {name} has no stage {stage}")


def _check_retryable(engine: Engine, run: Run, stage: str) -> None:
    present = run.stage
    if present is None or present.name != stage or present.status not in {"Failed", "Stopped"}:
        raise ServiceError(
            "StageNotRetryableException",
            f"Unable to retry: stage {stage} of execution {run.id} contains no failed actions",
        )
    if run.version != engine.pipelines.get(run.pipeline)["version"]:
        raise ServiceError(
            "StageNotRetryableException", "Unable to retry: the pipeline's structure has changed since"
        )
    later = (each for each in engine.history.of(run.pipeline) if each.number > run.number)
    if any(entered.name == stage for each in later for entered in each.stages):
        raise ServiceError(
            "NotLatestPipelineExecutionException", f"A later execution has been in stage {stage} since"
        )


@SERVICE.operation("PutApprovalResult", on=on("pipelineName", "stageName", "actionName"))
def put_approval_result(cloud: Cloud, request: Document) -> Document:
    """Approve or reject; of two who do, the first one wins."""
    engine = engine_of(cloud)
    with engine.changed:
        run, action = _approval(engine, request)
        caller, summary = cloud.identity.caller().arn, request["result"]["summary"]
        values: dict[str, Any] = {"status": "Succeeded", "by": caller, "summary": summary}
        if request["result"]["status"] == "Rejected":
            text = f"Rejected by {caller}" + (f": {summary}" if summary else "")
            values |= {"status": "Failed", "failure": Failure(code="JobFailed", message=text)}
        engine.settle(run.id, action.id, **values)
        return {"approvedAt": engine.now()}


def _approval(engine: Engine, request: Document) -> tuple[Run, ActionRun]:
    name, stage, action_name = (request[key] for key in ("pipelineName", "stageName", "actionName"))
    _find_stage(engine, name, stage)
    try:
        declared = action_named(engine.pipelines.declaration(name), stage, action_name)
    except KeyError:
        raise ServiceError(
            "ActionNotFoundException", f"The stage {stage} has no action {action_name}"
        ) from None
    if declared["actionTypeId"]["category"] != "Approval":
        raise ServiceError("ValidationException", f"{stage}/{action_name} is no approval")
    for run in reversed(engine.history.of(name)):
        for action in run.actions:
            same = (action.stage, action.action) == (stage, action_name)
            if same and action.external_id == request["token"]:
                return run, _waiting(action)
    raise ServiceError("InvalidApprovalTokenException", "The approval token is not valid")


def _waiting(action: ActionRun) -> ActionRun:
    if not action.is_live:
        raise ServiceError(
            "ApprovalAlreadyCompletedException", f"The approval has been completed: {action.status}"
        )
    return action


@SERVICE.operation("PutJobSuccessResult", on=everything)
def put_job_success(cloud: Cloud, request: Document) -> None:
    """Take a function's success, or its wish to be called again with a continuation token."""
    if "currentRevision" in request:
        raise ServiceError(
            "ValidationException", "Unsupported: currentRevision is not part of the local cloud"
        )
    engine, outputs = engine_of(cloud), request.get("outputVariables", {})
    if sum(len(key) + len(value) for key, value in outputs.items()) > OUTPUT_VARIABLE_BYTES:
        raise ServiceError("OutputVariablesSizeExceededException", "Output variables are over 122880 bytes")
    with engine.changed:
        run_id, action = jobs.waiting(engine, request["jobId"])
        values = _execution_details(request.get("executionDetails", {}))
        if token := request.get("continuationToken"):
            due = jobs.due(engine.settings.now(), engine.settings.continuation)
            memory = {**action.memory, "phase": "continue", "continuation": token, "due": due}
            engine.note(run_id, action.id, memory=memory, **values)
            return
        engine.settle(run_id, action.id, status="Succeeded", variables=outputs, **values)


def _execution_details(details: Document) -> dict[str, Any]:
    names = {"summary": "summary", "externalExecutionId": "external_id", "percentComplete": "percent"}
    return {name: details[key] for key, name in names.items() if key in details}


@SERVICE.operation("PutJobFailureResult", on=everything)
def put_job_failure(cloud: Cloud, request: Document) -> None:
    """Take a function's failure."""
    engine, details = engine_of(cloud), request["failureDetails"]
    with engine.changed:
        run_id, action = jobs.waiting(engine, request["jobId"])
        values: dict[str, Any] = {"failure": Failure(code=details["type"], message=details["message"])}
        if "externalExecutionId" in details:
            values["external_id"] = details["externalExecutionId"]
        engine.settle(run_id, action.id, status="Failed", outputs=(), **values)


@SERVICE.operation("GetJobDetails", on=everything)
def get_job_details(cloud: Cloud, request: Document) -> Document:
    """Show a job with its place in the pipeline; the credentials went to the function only."""
    engine = engine_of(cloud)
    with engine.changed:
        run_id, action = jobs.find(engine, request["jobId"])
        run = engine.history.get(run_id)
        declared = action_named(
            engine.pipelines.declaration(run.pipeline, run.version), action.stage, action.action
        )
        details = jobs.details(job_id=request["jobId"], account=cloud.account, action=action)
    context = {
        "pipelineName": run.pipeline,
        "stage": {"name": action.stage},
        "action": {"name": action.action, "actionExecutionId": action.id},
        "pipelineArn": cloud.arn("codepipeline", run.pipeline),
        "pipelineExecutionId": run.id,
    }
    data = {**details["data"], "actionTypeId": declared["actionTypeId"], "pipelineContext": context}
    return {"jobDetails": {**details, "data": data}}
