"""The runs of the state machine that sees work through, and the jobs that it has in SageMaker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, HTTPClientError

from atelier.lambdas.adapters import faults
from atelier.lambdas.errors import TimedOut
from atelier.lambdas.ports.work import Course

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_stepfunctions import SFNClient

SERVICE = "Step Functions"
ENDED = ("is in status", "could not find", "not found")
"""What SageMaker says of a job that cannot be stopped, since it has ended or was never begun."""


class WorkExecutions:
    """Executions by the ids of their work. The clients must not try a start again by themselves."""

    def __init__(self, states: SFNClient, sagemaker: SageMakerClient, machine: str) -> None:
        self._states = states
        self._sagemaker = sagemaker
        self._machine = machine

    def start(self, id: str, given: Mapping[str, Any]) -> None:
        """Begin one; one that has begun is fine."""
        try:
            with faults.patience(SERVICE):
                self._states.start_execution(stateMachineArn=self._machine, name=id, input=json.dumps(given))
        except ClientError as error:
            if faults.code(error) != "ExecutionAlreadyExists":
                raise
        except Exception as error:
            if isinstance(error.__cause__, HTTPClientError):
                raise TimedOut("Step Functions gave no answer; the work may begin all the same") from error
            raise

    def look(self, id: str) -> Course | None:
        """Return how one is; None when there is none."""
        try:
            with faults.patience(SERVICE):
                found = self._states.describe_execution(executionArn=self._arn(id))
        except ClientError as error:
            if faults.code(error) == "ExecutionDoesNotExist":
                return None
            raise
        why = found.get("cause") or found.get("error") or found["status"]
        return Course(is_running=found["status"] == "RUNNING", reason=why)

    def stop(self, id: str, job: str) -> None:
        """Stop one and its job; none, or one that has ended, is fine."""
        try:
            with faults.patience(SERVICE):
                self._states.stop_execution(executionArn=self._arn(id), error="Stopped", cause="by a user")
        except ClientError as error:
            if faults.code(error) not in {"ExecutionDoesNotExist", "ValidationException"}:
                raise
        try:
            with faults.patience("SageMaker"):
                self._sagemaker.stop_training_job(TrainingJobName=job)
        except ClientError as error:
            if not any(each in faults.text(error).lower() for each in ENDED):
                raise

    def _arn(self, id: str) -> str:
        return f"{self._machine.replace(':stateMachine:', ':execution:')}:{id}"
