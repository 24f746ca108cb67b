"""The train-and-deploy state machine, as data.

Names in ``${...}`` are filled in by the stack; a string ``raw:${...}`` becomes a number, a boolean, a list or
an object, and ``more:${...}`` what follows in a list or an object, or nothing. The state's data hold the
input under ``flow``, and beside it what each state found out. Whatever fails goes to TakeBack: what serves is
never touched here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from atelier.contract.events import METRICS

State = dict[str, Any]

SAGEMAKER = "arn:aws:states:::sagemaker:"
DESCRIBE_ENDPOINT = "arn:aws:states:::aws-sdk:sagemaker:describeEndpoint"
DELETE_ENDPOINT = "arn:aws:states:::aws-sdk:sagemaker:deleteEndpoint"
PUBLISH = "arn:aws:states:::sns:publish"

SAGEMAKER_ERRORS = ["SageMaker.SageMakerException", "SageMaker.ValidationException"]
LAMBDA_ERRORS = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
]
POLL_SECONDS = 2
POLLS = 1800

HYPERPARAMETERS = {"context": "128", "layers": "2", "hidden": "128", "heads": "4", "vocab_size": "2048"}
"""What shapes the model; how long it trains is the stack's parameter, the rest the container's default."""


def definition() -> str:
    """Return the definition in Amazon States Language."""
    states = {**_training(), **_candidate(), **_outcome()}
    document = {"Comment": __doc__.partition("\n")[0], "StartAt": "Begin", "States": states}
    text = re.sub(r',\s*"more:(\$\{\w+\})"(: "")?', r"\1", json.dumps(document, indent=1))
    return re.sub(r'"raw:(\$\{\w+\})"', r"\1", text)


def task(resource: str, parameters: State, then: str, *, keep: str | None = None, **more: Any) -> State:
    """Return a task whose every failure leads to TakeBack."""
    return {
        "Type": "Task",
        "Resource": resource,
        "Parameters": parameters,
        "ResultPath": keep,
        "Retry": more.pop("retry", []),
        "Catch": [
            *more.pop("catch", []),
            {"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "TakeBack"},
        ],
        "Next": then,
        **more,
    }


def retry(errors: Iterable[str], seconds: int, attempts: int, backoff: float = 2.0) -> State:
    """Return a bounded retry."""
    return {
        "ErrorEquals": list(errors),
        "IntervalSeconds": seconds,
        "MaxAttempts": attempts,
        "BackoffRate": backoff,
    }


def call(function: str, parameters: State, then: str, *, keep: str, retries: Iterable[State] = ()) -> State:
    """Return a task that calls one of our functions."""
    retrying = [retry(LAMBDA_ERRORS, 1, 3), *retries]
    return task(f"${{{function}Arn}}", parameters, then, keep=keep, retry=retrying)


def _training() -> dict[str, State]:
    return {
        "Begin": {"Type": "Pass", "Parameters": {"flow.$": "$", "polls": {"count": 0}}, "Next": "Train"},
        "Train": task(
            f"{SAGEMAKER}createTrainingJob.sync",
            _training_job(),
            "Gate",
            keep="$.training",
            retry=[retry(["SageMaker.AmazonSageMakerException"], 3, 2)],
        ),
        "Gate": call(
            "Gate",
            {
                "training.$": "$.training",
                "limits": {
                    "bits_per_byte": "raw:${MaximumBitsPerByte}",
                    "regression": "raw:${MaximumRegression}",
                },
            },
            "CreateModel",
            keep="$.judgement",
        ),
    }


def _training_job() -> State:
    """Describe the job; each retry has a name of its own, and goes on from the checkpoints of the last."""
    return {
        "TrainingJobName.$": "States.Format('{}-{}', $.flow.name, $$.State.RetryCount)",
        "RoleArn": "${SageMakerRoleArn}",
        "AlgorithmSpecification": {
            "TrainingImage.$": "$.flow.image",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": name, "Regex": regex} for name, regex in METRICS.items()],
        },
        "HyperParameters": {**HYPERPARAMETERS, "steps": "${TrainingSteps}"},
        "InputDataConfig": [
            {
                "ChannelName": "training",
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3DataDistributionType": "FullyReplicated",
                        "S3Uri.$": "$.flow.data_uri",
                    }
                },
            },
            "more:${SharedChannel}",
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://${DataBucketName}/models"},
        "CheckpointConfig": {
            "S3Uri.$": "States.Format('s3://${DataBucketName}/checkpoints/{}', $.flow.name)",
        },
        "ResourceConfig": {
            "InstanceType": "${TrainingInstanceType}",
            "InstanceCount": 1,
            "VolumeSizeInGB": 30,
        },
        "EnableManagedSpotTraining": "raw:${IsSpot}",
        "StoppingCondition": "raw:${StoppingCondition}",
        "more:${Network}": "",
    }


def _candidate() -> dict[str, State]:
    return {
        "CreateModel": task(
            f"{SAGEMAKER}createModel",
            {
                "ModelName.$": "$.flow.name",
                "ExecutionRoleArn": "${SageMakerRoleArn}",
                "PrimaryContainer": {
                    "Image.$": "$.flow.image",
                    "ModelDataUrl.$": "$.training.ModelArtifacts.S3ModelArtifacts",
                },
            },
            "CreateConfig",
        ),
        "CreateConfig": task(
            f"{SAGEMAKER}createEndpointConfig",
            {"EndpointConfigName.$": "$.flow.name", "ProductionVariants": [_variant()]},
            "FindCandidate",
        ),
        "FindCandidate": task(
            DESCRIBE_ENDPOINT,
            {"EndpointName": "${CandidateEndpoint}"},
            "ChooseCandidate",
            keep="$.endpoint",
            catch=[{"ErrorEquals": SAGEMAKER_ERRORS, "ResultPath": "$.absent", "Next": "CreateCandidate"}],
        ),
        "ChooseCandidate": {
            "Type": "Choice",
            "Choices": [
                {**_status("InService"), "Next": "UpdateCandidate"},
                {"Or": [_status("Failed"), _status("UpdateRollbackFailed")], "Next": "ClearCandidate"},
                {"Variable": "$.polls.count", "NumericGreaterThan": POLLS, "Next": "CandidateFailed"},
            ],
            "Default": "WaitForRoom",
        },
        "ClearCandidate": task(DELETE_ENDPOINT, {"EndpointName": "${CandidateEndpoint}"}, "WaitForRoom"),
        "WaitForRoom": {"Type": "Wait", "Seconds": POLL_SECONDS, "Next": "CountRoom"},
        "CountRoom": _count("FindCandidate"),
        "CreateCandidate": _deploy("createEndpoint"),
        "UpdateCandidate": _deploy("updateEndpoint"),
        "WaitForCandidate": {"Type": "Wait", "Seconds": POLL_SECONDS, "Next": "CountCandidate"},
        "CountCandidate": _count("LookAtCandidate"),
        "LookAtCandidate": task(
            DESCRIBE_ENDPOINT,
            {"EndpointName": "${CandidateEndpoint}"},
            "JudgeCandidate",
            keep="$.endpoint",
            retry=[retry(["States.ALL"], 2, 3)],
        ),
        "JudgeCandidate": {
            "Type": "Choice",
            "Choices": [
                {"And": [_status("InService"), _is_ours()], "Next": "SmokeTest"},
                {**_status("InService"), "Next": "CandidateFailed"},
                {"Or": [_status("Failed"), _status("UpdateRollbackFailed")], "Next": "CandidateFailed"},
                {"Variable": "$.polls.count", "NumericGreaterThan": POLLS, "Next": "CandidateFailed"},
            ],
            "Default": "WaitForCandidate",
        },
        "CandidateFailed": {
            "Type": "Pass",
            "Parameters": {"Error": "CandidateFailed", "Cause.$": "States.JsonToString($.endpoint)"},
            "ResultPath": "$.failure",
            "Next": "TakeBack",
        },
    }


def _variant() -> State:
    return {
        "VariantName": "main",
        "ModelName.$": "$.flow.name",
        "InitialInstanceCount": 1,
        "InstanceType": "${EndpointInstanceType}",
        "ContainerStartupHealthCheckTimeoutInSeconds": "raw:${StartupSeconds}",
    }


def _deploy(operation: str) -> State:
    parameters = {"EndpointName": "${CandidateEndpoint}", "EndpointConfigName.$": "$.flow.name"}
    return task(f"{SAGEMAKER}{operation}", parameters, "WaitForCandidate")


def _count(then: str) -> State:
    counted = {"count.$": "States.MathAdd($.polls.count, 1)"}
    return {"Type": "Pass", "Parameters": counted, "ResultPath": "$.polls", "Next": then}


def _status(status: str) -> State:
    return {"Variable": "$.endpoint.EndpointStatus", "StringEquals": status}


def _is_ours() -> State:
    return {"Variable": "$.endpoint.EndpointConfigName", "StringEqualsPath": "$.flow.name"}


def _outcome() -> dict[str, State]:
    busy = retry(["Busy"], POLL_SECONDS, 300, 1.0)
    known = {"flow.$": "$.flow", "training.$": "$.training", "judgement.$": "$.judgement"}
    return {
        "SmokeTest": call(
            "SmokeTest", {"flow.$": "$.flow"}, "Record", keep="$.smoke", retries=[retry(["Busy"], 2, 5)]
        ),
        "Record": call("Record", known, "Report", keep="$.facts", retries=[retry(["Busy"], 2, 5)]),
        "Report": task(
            PUBLISH,
            {
                "TopicArn": "${ReportsTopicArn}",
                "Subject": "A trained model waits for approval",
                "Message.$": "States.Format('Version {} of commit {}: {} bits per byte; {}.',"
                " $.facts.model_version, $.facts.commit, $.facts.bits_per_byte, $.facts.comparison)",
            },
            "Done",
        ),
        "Done": {"Type": "Pass", "InputPath": "$.facts", "End": True},
        "TakeBack": {
            **call(
                "TakeBack", {"flow.$": "$.flow", "failure.$": "$.failure"}, "ReportFailure", keep="$.outcome"
            ),
            "Retry": [retry(LAMBDA_ERRORS, 1, 3), busy],
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.undone", "Next": "LeftBehind"}],
        },
        "LeftBehind": {
            "Type": "Pass",
            "Parameters": {
                "reason.$": "States.Format('{}; what was created could not be taken back ({})',"
                " $.failure.Cause, $.undone.Error)"
            },
            "ResultPath": "$.outcome",
            "Next": "ReportFailure",
        },
        "ReportFailure": {
            "Type": "Task",
            "Resource": PUBLISH,
            "Parameters": {
                "TopicArn": "${ReportsTopicArn}",
                "Subject": "Training failed",
                "Message.$": "States.Format('{} of commit {}: {}',"
                " $.flow.name, $.flow.commit, $.outcome.reason)",
            },
            "ResultPath": None,
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.unreported", "Next": "Fail"}],
            "Next": "Fail",
        },
        "Fail": {"Type": "Fail", "Error": "TrainingFailed", "CausePath": "$.outcome.reason"},
    }
