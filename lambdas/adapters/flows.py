"""Executions of the train-and-deploy state machine, in Step Functions."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atelier.contract.documents import dump
from atelier.contract.events import FlowInput
from atelier.lambdas.adapters import faults
from atelier.lambdas.domain.training import Flow
from atelier.lambdas.errors import Conflict

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

LONGEST_CAUSE = 32_768
SERVICE = "Step Functions"


class StateMachine:
    """One state machine; an execution is found by its name."""

    def __init__(self, client: SFNClient, arn: str) -> None:
        self._client = client
        self._arn = arn

    def get(self, name: str) -> Flow | None:
        """Return the execution of that name, if there is one."""
        try:
            with faults.patience(SERVICE):
                found = self._client.describe_execution(executionArn=self._execution(name))
        except ClientError as error:
            if faults.code(error) == "ExecutionDoesNotExist":
                return None
            raise
        return Flow(
            name=name,
            id=found["executionArn"],
            status=found["status"],
            output=json.loads(found.get("output") or "{}"),
            reason=found.get("cause") or found.get("error") or "",
            started=found["startDate"].astimezone(UTC).isoformat(timespec="seconds"),
        )

    def start(self, name: str, value: FlowInput) -> None:
        """Start an execution; raise Conflict when there is one of that name."""
        try:
            with faults.patience(SERVICE):
                self._client.start_execution(stateMachineArn=self._arn, name=name, input=dump(value))
        except ClientError as error:
            if faults.code(error) == "ExecutionAlreadyExists":
                raise Conflict(f"the flow {name} was started before") from error
            raise

    def stop(self, name: str, why: str) -> None:
        """Stop an execution that still runs."""
        with faults.patience(SERVICE):
            self._client.stop_execution(
                executionArn=self._execution(name), error="Withdrawn", cause=why[:LONGEST_CAUSE]
            )

    def _execution(self, name: str) -> str:
        return f"{self._arn.replace(':stateMachine:', ':execution:')}:{name}"
