"""Items and errors of DynamoDB's tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError, HTTPClientError

from atelier.lambdas.adapters import faults
from atelier.lambdas.errors import Busy, Conflict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

Item = dict[str, "AttributeValueTypeDef"]

LOST = frozenset(
    {
        "ConditionalCheckFailed",
        "ConditionalCheckFailedException",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
LATER = frozenset(
    {
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingError",
        "ThrottlingException",
    }
)
"""What DynamoDB says of a call, or of a part of a transaction, that may succeed a moment later."""


def item(values: Mapping[str, Any]) -> Item:
    """Return an item of what has a value."""
    serialize = TypeSerializer().serialize
    return {name: serialize(value) for name, value in values.items() if value is not None}


def plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item's values."""
    deserialize = TypeDeserializer().deserialize
    return {name: deserialize(value) for name, value in found.items()}


@contextmanager
def guarded(conflict: str) -> Iterator[None]:
    """Raise Conflict with the text *conflict* where a condition fails, Busy where the table is too busy."""
    try:
        yield
    except HTTPClientError as error:
        raise Busy("the table does not answer, try again") from error
    except ClientError as error:
        why = reasons(error)
        if why & LATER:
            raise Busy("the table is too busy, try again") from error
        if why & LOST:
            raise Conflict(conflict) from error
        raise


def reasons(error: ClientError) -> set[str]:
    """Return the error's code, and why the parts of a transaction did not happen."""
    cancelled = error.response.get("CancellationReasons", [])
    return {faults.code(error)} | {each.get("Code", "") for each in cancelled}
