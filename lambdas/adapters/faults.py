"""Reading boto3's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from atelier.lambdas.errors import Busy

THROTTLED = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException"}
)


def code(error: ClientError) -> str:
    """Return the error's code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def text(error: ClientError) -> str:
    """Return what the service said."""
    return str(error.response.get("Error", {}).get("Message", "")) or str(error)


def is_passing(error: ClientError) -> bool:
    """Say whether the same call may succeed later: the service is busy, or has a fault of its own."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code(error) in THROTTLED or status == 429 or status >= 500


@contextmanager
def patience(service: str) -> Iterator[None]:
    """Raise Busy for what *service* may do later."""
    try:
        yield
    except (ConnectionError, HTTPClientError) as error:
        raise Busy(f"{service} does not answer, try again") from error
    except ClientError as error:
        if is_passing(error):
            raise Busy(f"{service} is too busy, try again: {text(error)}") from error
        raise


def is_missing(error: ClientError) -> bool:
    """Say whether SageMaker or CloudFormation has no such thing; neither has a code for that."""
    absent = "could not find" in text(error).lower() or "does not exist" in text(error)
    return code(error) in {"ValidationException", "ValidationError"} and absent
