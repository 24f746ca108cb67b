"""Reading boto3's errors."""

from __future__ import annotations

from botocore.exceptions import ClientError


def code(error: ClientError) -> str:
    """Return the error's code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def text(error: ClientError) -> str:
    """Return what the service said."""
    return str(error.response.get("Error", {}).get("Message", "")) or str(error)


def is_missing(error: ClientError) -> bool:
    """Say whether SageMaker or CloudFormation has no such thing; neither has a code for that."""
    absent = "could not find" in text(error).lower() or "does not exist" in text(error)
    return code(error) in {"ValidationException", "ValidationError"} and absent
