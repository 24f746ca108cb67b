"""Reports to CodePipeline, and what people said in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from atelier.lambdas.adapters import faults
from atelier.lambdas.domain.training import Approval, Step
from atelier.lambdas.errors import Conflict

if TYPE_CHECKING:
    from mypy_boto3_codepipeline import CodePipelineClient

LONGEST_MESSAGE = 5000
LONGEST_SUMMARY = 2048
SETTLED = frozenset({"InvalidJobStateException", "JobNotFoundException"})


class JobReports:
    """CodePipeline's ear."""

    def __init__(self, client: CodePipelineClient) -> None:
        self._client = client

    def success(self, job: str, step: Step) -> None:
        """Report that the job is done, or goes on when the step has a token; Conflict: reported before."""
        details: dict[str, Any] = {"summary": step.summary[:LONGEST_SUMMARY]}
        if step.external_id:
            details["externalExecutionId"] = step.external_id
        result: dict[str, Any] = {"jobId": job, "executionDetails": details}
        if step.token:
            result["continuationToken"] = step.token
        elif step.outputs:
            result["outputVariables"] = dict(step.outputs)
        self._report(self._client.put_job_success_result, result)

    def failure(self, job: str, message: str) -> None:
        """Report that the job failed; Conflict: reported before."""
        details = {"type": "JobFailed", "message": message[:LONGEST_MESSAGE] or "no reason is given"}
        self._report(self._client.put_job_failure_result, {"jobId": job, "failureDetails": details})

    def _report(self, call: Any, result: dict[str, Any]) -> None:
        try:
            call(**result)
        except ClientError as error:
            if faults.code(error) in SETTLED:
                raise Conflict(f"the job {result['jobId']} was settled before") from error
            raise


class PipelineApprovals:
    """What people said in a pipeline."""

    def __init__(self, client: CodePipelineClient) -> None:
        self._client = client

    def of(self, pipeline: str, execution: str, action: str) -> Approval:
        """Return the approval of a run."""
        pages = self._client.get_paginator("list_action_executions").paginate(
            pipelineName=pipeline, filter={"pipelineExecutionId": execution}
        )
        for page in pages:
            for each in page["actionExecutionDetails"]:
                if each.get("actionName") == action and each.get("status") == "Succeeded":
                    result = each.get("output", {}).get("executionResult", {})
                    return Approval(
                        approver=each.get("updatedBy"), comment=result.get("externalExecutionSummary")
                    )
        return Approval()
