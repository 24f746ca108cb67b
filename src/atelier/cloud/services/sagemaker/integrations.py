"""SageMaker as Step Functions' optimised integrations call it."""

from __future__ import annotations

import json
from typing import Any

from atelier.cloud.context import Caller, Cloud, Refused
from atelier.cloud.services.plugin import Integration, TaskFailed, is_wanted
from atelier.cloud.services.sagemaker import live
from atelier.cloud.services.sagemaker.service import SERVICE, jobs, plain
from atelier.cloud.services.wire import Document, ServiceError

GENERAL = "SageMaker.AmazonSageMakerException"
NAMED = frozenset({"ResourceInUse", "ResourceNotFound", "ResourceLimitExceeded"})
"""Errors that the SDK behind Step Functions knows by a name of their own."""

ASK_EVERY = 1.0
"""Seconds between two looks whether the execution that waits was aborted."""

OPERATIONS = ("CreateTrainingJob", "CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint")


def call(cloud: Cloud, operation: str, parameters: Document) -> Document:
    """Run one operation; its errors get the names that Step Functions gives them."""
    try:
        return SERVICE.call(cloud, operation, parameters)
    except ServiceError as error:
        name = f"SageMaker.{error.code}Exception" if error.code in NAMED else GENERAL
        cause = f"{error} (Service: AmazonSageMaker; Status Code: {error.status}; Error Code: {error.code})"
        raise TaskFailed(name, cause) from error
    except Refused as error:
        raise TaskFailed(GENERAL, str(error)) from error


def train(cloud: Cloud, _caller: Caller, parameters: Document) -> Document:
    """Create a training job and wait for its end; every end but Completed fails the task."""
    call(cloud, "CreateTrainingJob", parameters)
    name = parameters["TrainingJobName"]
    run = live.of(cloud).runs.get(name)
    while run is not None and not run.ended.wait(ASK_EVERY):
        if not is_wanted.get()():
            run.stop()
            raise TaskFailed("States.TaskFailed", f"the execution has ended; training job {name} is stopped")
    record: dict[str, Any] = plain(jobs(cloud).get(name) or {})
    if record.get("TrainingJobStatus") != "Completed":
        raise TaskFailed("States.TaskFailed", json.dumps(record))
    return record


def _simply(operation: str) -> Integration:
    def integration(cloud: Cloud, _caller: Caller, parameters: Document) -> Document:
        return call(cloud, operation, parameters)

    return integration


INTEGRATIONS: dict[str, Integration] = {
    "sagemaker:createTrainingJob.sync": train,
    **{f"sagemaker:{each[0].lower()}{each[1:]}": _simply(each) for each in OPERATIONS},
}
