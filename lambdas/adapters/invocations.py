"""Calls of endpoints."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from atelier.lambdas.adapters import containers, faults
from atelier.lambdas.domain.inferences import Sent
from atelier.lambdas.errors import Busy, Invalid, TimedOut

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

JSON = "application/json"
TIMEOUT_SECONDS = 3600
QUEUED_SECONDS = 6 * 3600
"""The longest that SageMaker lets a request wait: an endpoint without instances needs a while to have one."""

UNKNOWN = frozenset({"InternalFailure", "InternalServerError"})


class SageMakerInvocations:
    """Endpoints that answer. The client must not try again by itself: a request may have been taken."""

    def __init__(self, client: SageMakerRuntimeClient) -> None:
        self._client = client

    def submit(self, endpoint: str, *, id: str, input: str) -> Sent | None:
        """Hand an asynchronous endpoint a request's address; None when nobody knows whether it took it."""
        try:
            answer = self._client.invoke_endpoint_async(
                EndpointName=endpoint,
                InferenceId=id,
                InputLocation=input,
                ContentType=JSON,
                InvocationTimeoutSeconds=TIMEOUT_SECONDS,
                RequestTTLSeconds=QUEUED_SECONDS,
            )
        except ConnectionError as error:
            raise Busy(f"endpoint {endpoint} cannot be reached, try again") from error
        except HTTPClientError:
            return None
        except ClientError as error:
            if faults.code(error) in UNKNOWN:
                return None
            raise _refusal(error, endpoint) from error
        return Sent(output=answer["OutputLocation"], failure=answer.get("FailureLocation", ""))

    def answer(self, endpoint: str, body: bytes) -> bytes:
        """Have a real-time endpoint answer a request."""
        try:
            answer = self._client.invoke_endpoint(
                EndpointName=endpoint, ContentType=JSON, Accept=JSON, Body=body
            )
            with closing(answer["Body"]) as stream:
                return stream.read()
        except ConnectionError as error:
            raise Busy(f"endpoint {endpoint} cannot be reached, try again") from error
        except HTTPClientError as error:
            raise TimedOut(f"endpoint {endpoint} took too long to answer") from error
        except ClientError as error:
            if containers.is_theirs(error):
                raise containers.failure(error, "the endpoint") from error
            raise _refusal(error, endpoint) from error


def _refusal(error: ClientError, endpoint: str) -> Exception:
    """Return what SageMaker itself says to a request."""
    if faults.code(error) in containers.UNREADY:
        return Busy(f"endpoint {endpoint} is too busy, try again")
    if faults.code(error) in {"ValidationError", "ValidationException"}:
        return Invalid(f"endpoint {endpoint}: {faults.text(error)}")
    return error
