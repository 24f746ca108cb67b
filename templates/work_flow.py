"""The state machine of trainings, merges and crops, as data.

Names in ``${...}`` are filled in by the stack. Whatever fails goes to MarkFailed, which keeps the reason, and
then to who listens; only work that was stopped, or deleted, ends in silence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from atelier.templates.flow import LAMBDA_ERRORS, PUBLISH, SAGEMAKER, State, retry

BUSY = retry(["Busy"], 2, 8)
ENDED = {"ErrorEquals": ["Conflict"], "ResultPath": "$.ended", "Next": "Over"}
"""Work that was stopped or deleted meanwhile is nobody's failure."""

VOLUME_GB = 100


def definition() -> str:
    """Return the definition in Amazon States Language."""
    document = {"Comment": __doc__.partition("\n")[0], "StartAt": "MarkBegun", "States": states()}
    return re.sub(r'"raw:(\$\{\w+\})"', r"\1", json.dumps(document, indent=1))


def states() -> dict[str, State]:
    """Return the states by name."""
    return {
        "MarkBegun": task("${BeginArn}", {"id.$": "$.id"}, "Work", keep="$.begun", catch=[ENDED]),
        "Work": task(
            f"{SAGEMAKER}createTrainingJob.sync",
            job(),
            "MarkDone",
            keep="$.job_result",
            retries=[retry(["SageMaker.AmazonSageMakerException"], 2, 2)],
        ),
        "MarkDone": task("${FinishArn}", {"id.$": "$.id"}, "TellDone", keep="$.told", catch=[ENDED]),
        "TellDone": {
            **tell("${WorkSuccessTopicArn}", "Work is done", "$.told.message"),
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.untold", "Next": "Over"}],
            "Next": "Over",
        },
        "Over": {"Type": "Succeed"},
        "MarkFailed": {
            **task("${FailArn}", {"id.$": "$.id", "failure.$": "$.failure"}, "IsFailed", keep="$.told"),
            "Retry": [retry(LAMBDA_ERRORS, 1, 5), retry(["States.ALL"], 2, 3)],
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.unmarked", "Next": "Unmarked"}],
        },
        "IsFailed": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.told.status", "StringEquals": "Failed", "Next": "TellFailed"}],
            "Default": "Over",
        },
        "Unmarked": {
            "Type": "Pass",
            "Parameters": {
                "message.$": "States.Format('Work {} failed, and that could not be kept: {}',"
                " $.id, $.failure.Error)",
                "reason.$": "$.failure.Cause",
            },
            "ResultPath": "$.told",
            "Next": "TellFailed",
        },
        "TellFailed": {
            **tell("${WorkErrorTopicArn}", "Work has failed", "$.told.message"),
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.untold", "Next": "Failed"}],
            "Next": "Failed",
        },
        "Failed": {"Type": "Fail", "Error": "WorkFailed", "CausePath": "$.told.reason"},
    }


def task(
    resource: str,
    parameters: State,
    then: str,
    *,
    keep: str,
    retries: Sequence[State] = (),
    catch: Sequence[State] = (),
) -> State:
    """Return a task whose every failure leads to MarkFailed."""
    ours = [] if resource.startswith(SAGEMAKER) else [retry(LAMBDA_ERRORS, 1, 3), BUSY]
    return {
        "Type": "Task",
        "Resource": resource,
        "Parameters": parameters,
        "ResultPath": keep,
        "Retry": [*ours, *retries],
        "Catch": [*catch, {"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "MarkFailed"}],
        "Next": then,
    }


def tell(topic: str, subject: str, message: str) -> State:
    """Return a task that tells who listens to a topic."""
    parameters: dict[str, Any] = {"TopicArn": topic, "Subject": subject, "Message.$": message}
    return {"Type": "Task", "Resource": PUBLISH, "Parameters": parameters, "ResultPath": None}


def job() -> State:
    """Describe the job: the image of endpoints, which trains, merges and crops as well."""
    return {
        "TrainingJobName.$": "$.job",
        "RoleArn": "${JobRoleArn}",
        "AlgorithmSpecification": {"TrainingImage": "${EndpointImage}", "TrainingInputMode": "File"},
        "HyperParameters": {"task.$": "$.kind"},
        "InputDataConfig.$": "$.channels",
        "OutputDataConfig": {"S3OutputPath.$": "$.output"},
        "CheckpointConfig": {"S3Uri.$": "$.checkpoints"},
        "ResourceConfig": {
            "InstanceType.$": "$.instance_type",
            "InstanceCount": 1,
            "VolumeSizeInGB": VOLUME_GB,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": "raw:${WorkSeconds}"},
        "Tags": [
            {"Key": "atelier:installation", "Value": "${Prefix}"},
            {"Key": "atelier:work", "Value.$": "$.id"},
        ],
    }
