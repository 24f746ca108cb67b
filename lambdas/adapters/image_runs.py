"""Runs of the WebUI's pipeline, in CodePipeline, and what their builds said last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from atelier.lambdas.adapters import faults
from atelier.lambdas.domain.webui import Execution
from atelier.lambdas.errors import Busy, NotFound

if TYPE_CHECKING:
    from mypy_boto3_codebuild import CodeBuildClient
    from mypy_boto3_codepipeline import CodePipelineClient
    from mypy_boto3_logs import CloudWatchLogsClient

SERVICE = "CodePipeline"
FULL = frozenset({"ConcurrentPipelineExecutionsLimitExceededException", "ConflictException"})
VARIABLE = "UPSTREAM_COMMIT"
ERROR = "error: "
"""What the line begins with that says why a program of a build failed."""
LAST_LINES = 100


class ImagePipeline:
    """The pipeline of the WebUI's image."""

    def __init__(self, client: CodePipelineClient, name: str) -> None:
        self._client = client
        self._name = name

    def start(self, token: str, upstream: str | None = None) -> str:
        """Start a run once for each token, and return its id; without *upstream* with the default."""
        given: dict[str, Any] = {"variables": [{"name": VARIABLE, "value": upstream}]} if upstream else {}
        try:
            with faults.patience(SERVICE):
                started = self._client.start_pipeline_execution(
                    name=self._name, clientRequestToken=token, **given
                )
        except ClientError as error:
            if faults.code(error) in FULL:
                raise Busy(f"{SERVICE} starts no run now: {faults.text(error)}") from error
            if faults.code(error) == "PipelineNotFoundException":
                raise NotFound(f"there is no pipeline {self._name}: deploy it again") from error
            raise
        return started["pipelineExecutionId"]


class ImageExecutions(ImagePipeline):
    """The same, with what became of its runs."""

    def __init__(
        self, client: CodePipelineClient, name: str, builds: CodeBuildClient, logs: CloudWatchLogsClient
    ) -> None:
        super().__init__(client, name)
        self._builds = builds
        self._logs = logs

    def describe(self, run: str) -> Execution:
        """Return what a run was given and how far it came."""
        with faults.patience(SERVICE):
            found = self._client.get_pipeline_execution(pipelineName=self._name, pipelineExecutionId=run)
            actions = self._actions(run)
        execution = found["pipelineExecution"]
        revisions = execution.get("artifactRevisions", [])
        failed = next((each for each in actions if each.get("status") == "Failed"), None)
        return Execution(
            status=execution["status"],
            variables={each["name"]: each["resolvedValue"] for each in execution.get("variables", [])},
            source=revisions[0].get("revisionId") if revisions else None,
            failed=failed["actionName"] if failed else None,
            reason=self._reason(failed) if failed else execution.get("statusSummary", ""),
            outputs={
                each["actionName"]: each.get("output", {}).get("outputVariables", {})
                for each in reversed(actions)
            },
        )

    def _actions(self, run: str) -> list[Any]:
        """Return the last try of each of a run's actions, the newest first."""
        pages = self._client.get_paginator("list_action_executions").paginate(
            pipelineName=self._name, filter={"pipelineExecutionId": run}
        )
        latest: dict[str, Any] = {}
        for page in pages:
            for each in page["actionExecutionDetails"]:
                latest.setdefault(each.get("actionName", ""), each)
        return list(latest.values())

    def _reason(self, action: Mapping[str, Any]) -> str:
        result = action.get("output", {}).get("executionResult", {})
        told = result.get("errorDetails", {}).get("message") or result.get("externalExecutionSummary", "")
        is_build = action.get("input", {}).get("actionTypeId", {}).get("provider") == "CodeBuild"
        build = result.get("externalExecutionId")
        words = self._last_words(build) if is_build and build else None
        return f"{action['actionName']}: {words or told or 'no reason is given'}"

    def _last_words(self, build: str) -> str | None:
        """Return what a program of a build said before it failed; its log may be gone, or never have been."""
        try:
            builds = self._builds.batch_get_builds(ids=[build])["builds"]
            log = builds[0].get("logs", {}) if builds else {}
            if not (log.get("groupName") and log.get("streamName")):
                return None
            found = self._logs.get_log_events(
                logGroupName=log["groupName"],
                logStreamName=log["streamName"],
                limit=LAST_LINES,
                startFromHead=False,
            )
        except ClientError:
            return None
        lines = [line for each in found["events"] for line in each.get("message", "").splitlines()]
        said = [line for line in lines if line.startswith(ERROR)]
        return said[-1].removeprefix(ERROR).strip() if said else None
