"""Inferences: pieces of generation work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any

from ..schema import UUID, About, Items, Members, Rest, Text
from ..values import Value
from .endpoints import EndpointType

TASK_TYPES = ("txt2img", "img2img", "extra-single-image", "extra-batch-images", "rembg")
"""What a job may do; another one is refused by name."""

TIME = Text(format="date-time")
LINK = Text(format="uri")
LARGEST_PAYLOAD = 4 * 1024 * 1024
"""Characters of a payload that comes in the request itself."""


class CreateInferenceJobRequest(Value):
    """A job to make; with its parameters in *payload_string* it starts at once."""

    task_type: Annotated[str, Text(min=1, max=100), About(f"One of {', '.join(TASK_TYPES)}.")]
    inference_type: EndpointType
    models: Annotated[
        Mapping[str, Annotated[tuple[Annotated[str, Text(max=255)], ...], Items(max=100)]], Members(max=20)
    ]
    sagemaker_endpoint_name: Annotated[str, Text(max=63)] | None = None
    payload_string: Annotated[str, Text(max=LARGEST_PAYLOAD)] | None = None
    workflow: Annotated[str, Text(max=200, pattern="^[A-Za-z][A-Za-z0-9_]*$")] | None = None


class DeleteInferenceJobsRequest(Value):
    """The jobs to delete, with their files."""

    inference_id_list: Annotated[tuple[Annotated[str, Text(min=1, max=128)], ...], Items(min=1, max=100)]


class UsedModel(Value):
    """A checkpoint that a job needs."""

    id: Annotated[str, UUID]
    name: tuple[str, ...]
    type: str


class NewInference(Value):
    """A job that waits for its parameters, and where to put them."""

    id: Annotated[str, UUID]
    type: str
    api_params_s3_location: Annotated[str, LINK]
    api_params_s3_upload_url: Annotated[str, LINK]
    models: tuple[UsedModel, ...]
    workflow: str | None = None


class CreatedInference(Value):
    """What was made of a request."""

    inference: NewInference


class RunningInference(Value):
    """Where a started job runs."""

    inference_id: Annotated[str, UUID]
    status: str
    endpoint_name: str
    output_path: str


class StartedInference(Value):
    """A job that was started."""

    InferenceJobId: Annotated[str, UUID]
    status: str
    inference: RunningInference


class InferenceParams(Value):
    """Where a job's input lies and where it runs; open to what its kind adds."""

    input_body_s3: Annotated[str, LINK]
    sagemaker_inference_endpoint_id: Annotated[str, Text(pattern=r"^[a-f0-9\-]{36}$")]
    sagemaker_inference_endpoint_name: str
    sagemaker_inference_instance_type: str
    input_body_presign_url: Annotated[str, LINK] | None = None
    output_path: str | None = None
    more: Rest = field(default_factory=dict)


class Inference(Value):
    """A job as it is listed; open to what its kind and its end add."""

    InferenceJobId: Annotated[str, UUID]
    inference_type: EndpointType
    taskType: str
    status: str
    owner_group_or_role: tuple[str, ...]
    image_names: tuple[str, ...]
    createTime: Annotated[str, TIME]
    startTime: Annotated[str, TIME]
    params: InferenceParams
    completeTime: Annotated[str, TIME] | None = None
    more: Rest = field(default_factory=dict)


class InferenceDetail(Inference):
    """A job with links to its results."""

    img_presigned_urls: tuple[Annotated[str, LINK], ...]
    output_presigned_urls: tuple[Annotated[str, LINK], ...]
    payload_string: str | None = None
    sagemakerRaw: Mapping[str, Any] | None = None


class Inferences(Value):
    """A page of jobs, the newest first."""

    inferences: tuple[Inference, ...]
    last_evaluated_key: str | None


class CancelledInference(Value):
    """A job that will not run to its end."""

    InferenceJobId: Annotated[str, UUID]
    status: str
