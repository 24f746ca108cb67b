"""Endpoints in SageMaker, and their scaling.

An endpoint, its configuration and its model have one name, which whoever calls holds in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from atelier.contract.keys import ASYNC_FAILURES, ASYNC_OUTPUT, VARIANT
from atelier.contract.values import Value
from atelier.lambdas.adapters import faults
from atelier.lambdas.adapters.sagemaker import SageMakerEndpoints
from atelier.lambdas.domain.endpoints import Endpoint, Sight
from atelier.lambdas.errors import Busy, Failed, Invalid, Throttled

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient

REFUSED = frozenset(
    {"LimitExceededException", "ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound"}
    | {"ValidationError", "ValidationException"}
)
THROTTLED = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException"})
LATER = frozenset(
    {"ConcurrentUpdateException", "InternalFailure", "InternalServiceException", "ServiceUnavailable"}
)

STARTUP_SECONDS = 600
"""A container may load its libraries for so long before it answers."""


class Parts(Value):
    """What every endpoint is made of."""

    image: str
    role_arn: str
    bucket: str
    success_topic_arn: str
    error_topic_arn: str


@contextmanager
def refusals() -> Iterator[None]:
    """Raise what AWS refuses in its own words, and Busy for what it may do later."""
    try:
        yield
    except (ConnectionError, HTTPClientError) as error:
        raise Busy("SageMaker does not answer, try again") from error
    except ClientError as error:
        code = faults.code(error)
        if code in THROTTLED:
            raise Throttled(f"{code}: {faults.text(error)}") from error
        if code in LATER:
            raise Busy("SageMaker is too busy, try again") from error
        if code in REFUSED:
            raise Invalid(f"{code}: {faults.text(error)}") from error
        raise


class SageMakerLauncher:
    """Makes endpoints. Its client must not try again by itself, lest it meet what it made before."""

    def __init__(self, client: SageMakerClient, parts: Parts) -> None:
        self._client = client
        self._parts = parts

    def launch(self, endpoint: Endpoint) -> None:
        """Make model, configuration and endpoint; take back what was made when SageMaker refuses."""
        name = endpoint.name
        with ExitStack() as undo, refusals():
            delete_model = partial(self._client.delete_model, ModelName=name)
            with _made(undo, delete_model):
                self._client.create_model(**self._model(endpoint))
            delete_config = partial(self._client.delete_endpoint_config, EndpointConfigName=name)
            with _made(undo, delete_config):
                self._client.create_endpoint_config(**self._config(endpoint))
            with suppress(HTTPClientError):  # it may be there or not: whoever looks next will see
                self._client.create_endpoint(EndpointName=name, EndpointConfigName=name)
            undo.pop_all()

    def _model(self, endpoint: Endpoint) -> dict[str, Any]:
        given = {"CUSTOM_EXTENSIONS": endpoint.extensions} if endpoint.extensions else {}
        return {
            "ModelName": endpoint.name,
            "PrimaryContainer": {"Image": endpoint.custom_image or self._parts.image, "Environment": given},
            "ExecutionRoleArn": self._parts.role_arn,
        }

    def _config(self, endpoint: Endpoint) -> dict[str, Any]:
        variant = {
            "VariantName": VARIANT,
            "ModelName": endpoint.name,
            "InstanceType": endpoint.instance_type,
            "InitialInstanceCount": endpoint.initial,
            "ContainerStartupHealthCheckTimeoutInSeconds": STARTUP_SECONDS,
        }
        config = {"EndpointConfigName": endpoint.name, "ProductionVariants": [variant]}
        return config if endpoint.kind == "Real-time" else {**config, "AsyncInferenceConfig": self._async()}

    def _async(self) -> dict[str, Any]:
        bucket = f"s3://{self._parts.bucket}"
        topics = {
            "SuccessTopic": self._parts.success_topic_arn,
            "ErrorTopic": self._parts.error_topic_arn,
        }
        return {
            "OutputConfig": {
                "S3OutputPath": f"{bucket}/{ASYNC_OUTPUT}",
                "S3FailurePath": f"{bucket}/{ASYNC_FAILURES}",
                "NotificationConfig": topics,
            },
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 1},
        }


@contextmanager
def _made(undo: ExitStack, delete: Callable[[], object]) -> Iterator[None]:
    """See to it that what is made here can be taken back; so, too, when nobody knows whether it was made."""
    try:
        yield
    except HTTPClientError:
        undo.callback(_take_back, delete)
        raise
    undo.callback(_take_back, delete)


def _take_back(delete: Callable[[], object]) -> None:
    try:
        delete()
    except ClientError as error:
        if not faults.is_missing(error):
            raise Failed(f"not all could be taken back: {faults.text(error)}") from error
    except (ConnectionError, HTTPClientError) as error:
        raise Failed("not all could be taken back: SageMaker does not answer") from error


class SageMakerFleet:
    """Endpoints as SageMaker has them."""

    def __init__(self, client: SageMakerClient) -> None:
        self._client = client
        self._endpoints = SageMakerEndpoints(client)

    def look(self, name: str) -> Sight | None:
        """Return an endpoint as it is now; None when there is none."""
        with refusals():
            try:
                found = self._client.describe_endpoint(EndpointName=name)
            except ClientError as error:
                if faults.is_missing(error):
                    return None
                raise
        variants = found.get("ProductionVariants") or []
        return Sight(
            status=found["EndpointStatus"],
            instances=sum(each.get("CurrentInstanceCount") or 0 for each in variants),
            reason=found.get("FailureReason", ""),
        )

    def dismantle(self, name: str) -> None:
        """Delete endpoint, configuration and model; none is fine; raise Busy while the endpoint changes."""
        with refusals():
            self._endpoints.delete(name)
            self._endpoints.discard(name)
