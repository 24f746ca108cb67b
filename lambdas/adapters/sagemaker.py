"""Endpoints and the prompts they answer, in SageMaker."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from atelier.lambdas.adapters import containers, faults
from atelier.lambdas.domain.training import Endpoint
from atelier.lambdas.errors import Busy, Failed

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient


class SageMakerEndpoints:
    """Endpoints, their configurations and models."""

    def __init__(self, client: SageMakerClient) -> None:
        self._client = client

    def get(self, name: str) -> Endpoint | None:
        """Return the endpoint, if there is one."""
        try:
            found = self._client.describe_endpoint(EndpointName=name)
        except ClientError as error:
            if faults.is_missing(error):
                return None
            raise
        return Endpoint(
            name=name,
            status=found["EndpointStatus"],
            config=found.get("EndpointConfigName"),
            reason=found.get("FailureReason", ""),
        )

    def create(self, name: str, config: str) -> None:
        """Create an endpoint."""
        self._client.create_endpoint(EndpointName=name, EndpointConfigName=config)

    def update(self, name: str, config: str) -> None:
        """Move an endpoint to another configuration; it serves all the while."""
        self._client.update_endpoint(EndpointName=name, EndpointConfigName=config)

    def delete(self, name: str) -> None:
        """Delete an endpoint; none is fine; raise Busy while it changes."""
        try:
            self._client.delete_endpoint(EndpointName=name)
        except ClientError as error:
            if "in-progress" in faults.text(error):
                raise Busy(f"the endpoint {name} is changing") from error
            if not faults.is_missing(error):
                raise

    def discard(self, config: str) -> None:
        """Delete an endpoint configuration and the model of the same name; none is fine."""
        _unless_missing(lambda: self._client.delete_endpoint_config(EndpointConfigName=config))
        _unless_missing(lambda: self._client.delete_model(ModelName=config))


def _unless_missing(delete: Callable[[], object]) -> None:
    try:
        delete()
    except ClientError as error:
        if not faults.is_missing(error):
            raise


class EndpointPrompts:
    """A model behind an endpoint."""

    def __init__(self, client: SageMakerRuntimeClient) -> None:
        self._client = client

    def complete(self, endpoint: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a request; raise Invalid for one that the model refuses, Busy for one too many."""
        try:
            answer = self._client.invoke_endpoint(
                EndpointName=endpoint,
                ContentType="application/json",
                Accept="application/json",
                Body=json.dumps(request).encode(),
            )
            with closing(answer["Body"]) as body:
                document = json.loads(body.read())
        except ClientError as error:
            raise _translate(error) from error
        except (ConnectionError, HTTPClientError) as error:
            raise Busy("the model took too long to answer") from error
        except ValueError as error:
            raise Failed("the model's answer is not JSON") from error
        if not isinstance(document, dict):
            raise Failed("the model's answer is not an object")
        return document


def _translate(error: ClientError) -> Exception:
    if faults.code(error) in containers.UNREADY:
        return Busy("the model is busy, try again")
    if containers.is_theirs(error):
        return containers.failure(error, "the model")
    return Busy("the model is not in service") if faults.is_missing(error) else error
