"""What the pipeline, its functions and the train-and-deploy flow say to each other.

Training data lies in the data bucket under ``data/<version>/``, where a version is the first 16 hexadecimal
digits of the data's SHA-256; the object ``data/LATEST`` names the version that a run takes when its pipeline
variable DATA_VERSION says ``latest``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from atelier.contract.documents import Invalid
from atelier.contract.values import Value

MODEL = "gpt-neo"
"""The model that the pipeline trains: the first part of its jobs' names, and its key in the registry."""

DATA_PREFIX = "data/"
DATA_POINTER = "data/LATEST"
LATEST = "latest"

PERPLEXITY_BEFORE = "validation:perplexity_before"
PERPLEXITY = "validation:perplexity"
BITS_PER_BYTE = "validation:bits_per_byte"
METRICS: Mapping[str, str] = {
    "progress:step": r"^train step=(\d+)",
    "train:loss": r"^train step=\d+ of=\d+ loss=([0-9.]+)",
    "train:tokens_per_second": r"^train .* tokens_per_second=([0-9.]+)",
    PERPLEXITY_BEFORE: r"^untrained .* perplexity=([0-9.]+)",
    "validation:loss": r"^validation step=\d+ of=\d+ loss=([0-9.]+)",
    PERPLEXITY: r"^validation .* perplexity=([0-9.]+)",
    BITS_PER_BYTE: r"^validation .* bits_per_byte=([0-9.]+)",
}
"""The training job's metrics, and where SageMaker finds them in the container's log."""


class PipelineJob(Value):
    """What a CodePipeline job event says: which job to report on, its parameters, and how far it was."""

    id: str
    parameters: str
    token: str | None = None


class StartTraining(Value):
    """User parameters of `start_flow`; a job event does not carry the execution's id, so they do."""

    execution: str
    commit: str
    image: str
    image_digest: str
    data_version: str


class RegisterModel(Value):
    """User parameters of `register`."""

    version: str
    execution: str
    approval: str


class PublishModel(Value):
    """User parameters of `publish`: the approved version, and what the serving API is made of."""

    version: str
    template_key: str
    code_key: str
    layer_key: str


class FlowInput(Value):
    """The input of the train-and-deploy flow. *name* names all that one attempt of a run creates."""

    name: str
    run: str
    commit: str
    image: str
    image_digest: str
    data_version: str
    data_uri: str


class Training(Value):
    """What the flow keeps of an ended training job."""

    job: str
    status: str
    artifact: str
    metrics: Mapping[str, float]
    hyperparameters: Mapping[str, str]
    seconds: int


class Judgement(Value):
    """What the gate found out: the metrics that count, and how they compare with the version that serves."""

    bits_per_byte: float
    perplexity: float
    perplexity_before: float
    comparison: str


class FlowResult(Value):
    """The output of the flow: the facts that a person approves; CodePipeline's variables are strings."""

    model_version: str
    perplexity_before: str
    perplexity: str
    bits_per_byte: str
    comparison: str
    commit: str
    data_version: str
    image_digest: str
    training_job: str
    endpoint: str


class Withdrawal(Value):
    """A run that ended without approval, and why; *at* is when an action failed, which may be retried."""

    run: str
    reason: str
    comment: str = ""
    at: str = ""


def pipeline_job(event: Mapping[str, Any]) -> PipelineJob:
    """Read CodePipeline's job event."""
    try:
        job = event["CodePipeline.job"]
        configuration = job["data"]["actionConfiguration"]["configuration"]
        return PipelineJob(
            id=job["id"],
            parameters=configuration.get("UserParameters", "{}"),
            token=job["data"].get("continuationToken"),
        )
    except (KeyError, TypeError) as error:
        raise Invalid(f"not a CodePipeline job event: {error} is missing") from error


def withdrawal(event: Mapping[str, Any]) -> Withdrawal:
    """Read EventBridge's event of an action that failed, or of a run that was superseded or stopped."""
    try:
        detail = event["detail"]
        run, state = detail["execution-id"], detail["state"]
    except (KeyError, TypeError) as error:
        raise Invalid(f"not a CodePipeline state change: {error} is missing") from error
    result = detail.get("execution-result") or {}
    comment = str(result.get("external-execution-summary") or "")
    if "action" not in detail:
        return Withdrawal(run=run, reason=f"run {state.lower()}", comment=comment)
    at = str(event.get("time") or "").replace("Z", "+00:00")
    return Withdrawal(run=run, reason=f"{detail['action']} {state.lower()}", comment=comment, at=at)


def training(description: Mapping[str, Any]) -> Training:
    """Read SageMaker's description of a training job, as Step Functions hands it on."""
    status, detail = description["TrainingJobStatus"], description.get("SecondaryStatus")
    return Training(
        job=description["TrainingJobName"],
        status=status if detail in {None, status} else f"{status} ({detail})",
        artifact=description.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
        metrics={
            each["MetricName"]: float(each["Value"]) for each in description.get("FinalMetricDataList") or []
        },
        hyperparameters=dict(description.get("HyperParameters") or {}),
        seconds=int(description.get("TrainingTimeInSeconds") or 0),
    )


def reason(cause: Mapping[str, Any]) -> str:
    """Return what a person should read of a Step Functions failure.

    A cause is plain text, or JSON: the description of a training job or an endpoint, or a function's error.
    """
    error, text = str(cause.get("Error", "")), str(cause.get("Cause", ""))
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return text or error
    told = document.get("FailureReason") or document.get("errorMessage")
    if not told and "EndpointStatus" in document:
        told = f"the endpoint {document['EndpointName']} is {document['EndpointStatus']}"
    return str(told or text)
