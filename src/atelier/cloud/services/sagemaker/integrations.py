"""SageMaker as Step Functions' optimised integrations call it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from atelier.cloud.context import Caller, Cloud, Credentials, Identity, Refused
from atelier.cloud.services.plugin import Integration, TaskFailed
from atelier.cloud.services.sagemaker import live
from atelier.cloud.services.sagemaker.service import SERVICE, jobs, plain
from atelier.cloud.services.wire import Document, ServiceError

OWN_NAMES = frozenset({"ResourceInUse", "ResourceNotFound", "ResourceLimitExceeded"})


@dataclass(frozen=True)
class ActingAs:
    """IAM, asked by a state machine's role."""

    identity: Identity
    role: Caller

    def caller(self) -> Caller:
        """Return the role."""
        return self.role

    def allows(self, caller: Caller, action: str, resource: str) -> bool:
        """Ask the cloud's IAM."""
        return self.identity.allows(caller, action, resource)

    def assume(
        self, role_arn: str, *, service: str, session: str, policy: Mapping[str, Any] | None = None
    ) -> Credentials:
        """Ask the cloud's IAM."""
        return self.identity.assume(role_arn, service=service, session=session, policy=policy)


def call(cloud: Cloud, caller: Caller, operation: str, parameters: Document) -> Document:
    """Run one operation as the state machine's role; its errors get the names Step Functions gives them."""
    acting = replace(cloud, identity=ActingAs(cloud.identity, caller))
    try:
        return SERVICE.call(acting, operation, parameters)
    except ServiceError as error:
        name = error.code if error.code not in OWN_NAMES else f"{error.code}Exception"
        known = error.code in OWN_NAMES
        cause = f"{error} (Service: AmazonSageMaker; Status Code: {error.status}; Error Code: {error.code})"
        raise TaskFailed(f"SageMaker.{name if known else 'AmazonSageMakerException'}", cause) from error
    except Refused as error:
        raise TaskFailed("SageMaker.AmazonSageMakerException", str(error)) from error


def train(cloud: Cloud, caller: Caller, parameters: Document) -> Document:
    """Create a training job and wait for its end; every end but Completed fails the task."""
    call(cloud, caller, "CreateTrainingJob", parameters)
    name = parameters["TrainingJobName"]
    run = live.of(cloud).runs.get(name)
    if run is not None:
        run.ended.wait()
    record: dict[str, Any] = plain(jobs(cloud).get(name) or {})
    if record.get("TrainingJobStatus") != "Completed":
        raise TaskFailed("States.TaskFailed", json.dumps(record))
    return record


def _simply(operation: str) -> Integration:
    def integration(cloud: Cloud, caller: Caller, parameters: Document) -> Document:
        return call(cloud, caller, operation, parameters)

    return integration


INTEGRATIONS: dict[str, Callable[[Cloud, Caller, Document], Document]] = {
    "sagemaker:createTrainingJob.sync": train,
    **{
        f"sagemaker:{each[0].lower()}{each[1:]}": _simply(each)
        for each in (
            "CreateTrainingJob",
            "CreateModel",
            "CreateEndpointConfig",
            "CreateEndpoint",
            "UpdateEndpoint",
        )
    },
}
