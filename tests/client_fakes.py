"""A CodePipeline that shows what it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

START = datetime.now(UTC) - timedelta(minutes=2)
PROVIDERS = {"Source": "CodeCommit", "Build": "CodeBuild", "Train": "Lambda", "Approve": "Manual"}
CATEGORIES = {"Source": "Source", "Build": "Build", "Train": "Invoke", "Approve": "Approval"}


def action_detail(
    stage: str,
    status: str,
    *,
    seconds: float = 1,
    message: str = "",
    summary: str = "",
    id: str = "",
    provider: str = "",
    variables: dict[str, str] | None = None,
    custom: str = "",
    is_resolved: bool = True,
) -> dict[str, Any]:
    result: dict[str, Any] = {"externalExecutionId": id, "externalExecutionSummary": summary}
    configuration = {"CustomData": custom} if custom else {}
    if message:
        result["errorDetails"] = {"code": "JobFailed", "message": message}
    return {
        "stageName": stage,
        "actionName": stage,
        "status": status,
        "startTime": START,
        "lastUpdateTime": START + timedelta(seconds=seconds),
        "input": {
            "configuration": configuration,
            "resolvedConfiguration": configuration if is_resolved else {},
        },
        "output": {"executionResult": result, "outputVariables": variables or {}},
    }


class FakeCodePipeline:
    """One pipeline of four stages; *frames* are the action details of one look after the other."""

    class exceptions:
        class PipelineExecutionNotFoundException(ClientError):
            pass

        class PipelineNotFoundException(ClientError):
            pass

    def __init__(
        self,
        *,
        names: list[str] | None = None,
        status: str = "InProgress",
        details: list[dict[str, Any]] | None = None,
        frames: list[list[dict[str, Any]]] | None = None,
        token: str | None = None,
    ) -> None:
        self.names = ["atelier-training"] if names is None else names
        self.status = status
        self.frames = list(frames or [])
        self.details = details or []
        self.token = token
        self.holder = "run-1"
        self.started: dict[str, Any] = {}
        self.decision: dict[str, Any] = {}

    def get_paginator(self, operation: str) -> Any:
        pages = {
            "list_pipelines": lambda **request: [{"pipelines": [{"name": name} for name in self.names]}],
            "list_action_executions": lambda **request: [{"actionExecutionDetails": self.details}],
        }
        paginator = type("Paginator", (), {})()
        paginator.paginate = pages[operation]
        return paginator

    def list_pipeline_executions(self, **request: Any) -> dict[str, Any]:
        return {"pipelineExecutionSummaries": [{"pipelineExecutionId": "run-1"}]}

    def get_pipeline_execution(self, pipelineName: str, pipelineExecutionId: str) -> dict[str, Any]:
        if pipelineExecutionId != "run-1":
            raise self.exceptions.PipelineExecutionNotFoundException({"Error": {}}, "GetPipelineExecution")
        if self.frames:
            self.details = self.frames.pop(0)
            self.status = "InProgress" if self.frames else "Succeeded"
        return {
            "pipelineExecution": {
                "status": self.status,
                "artifactRevisions": [{"revisionId": "c0ffee00c0ffee00"}],
                "variables": [{"name": "DATA_VERSION", "resolvedValue": "latest"}],
                "trigger": {"triggerType": "StartPipelineExecution"},
            }
        }

    def get_pipeline(self, name: str) -> dict[str, Any]:
        if name not in self.names:
            raise self.exceptions.PipelineNotFoundException({"Error": {}}, "GetPipeline")
        stages = [
            {
                "name": stage,
                "actions": [
                    {
                        "name": stage,
                        "actionTypeId": {"category": CATEGORIES[stage], "provider": provider},
                        "configuration": {"RepositoryName": "atelier", "BranchName": "main"},
                    }
                ],
            }
            for stage, provider in PROVIDERS.items()
        ]
        return {"pipeline": {"name": name, "stages": stages}}

    def get_pipeline_state(self, name: str) -> dict[str, Any]:
        latest = {"status": "InProgress", "token": self.token} if self.token else {"status": "Succeeded"}
        return {
            "stageStates": [
                {
                    "stageName": "Approve",
                    "latestExecution": {"pipelineExecutionId": self.holder},
                    "actionStates": [{"actionName": "Approve", "latestExecution": latest}],
                }
            ]
        }

    def start_pipeline_execution(self, **request: Any) -> dict[str, Any]:
        self.started = request
        return {"pipelineExecutionId": "run-1"}

    def put_approval_result(self, **request: Any) -> dict[str, Any]:
        self.decision = request
        return {}
