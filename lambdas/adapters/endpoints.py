"""Endpoints in DynamoDB.

The table has the string key ``id`` and an index by ``kind`` and ``startTime`` (`atelier.contract.tables`):

==============================  ==========================================================================
id                              other attributes
==============================  ==========================================================================
name of an endpoint             ``kind``, always ``endpoint``; ``startTime``; the members of `Endpoint`
``claim#<service>#<kind>#role`` ``endpoint``, the name of the role's one valid endpoint of that kind
==============================  ==========================================================================

An endpoint and its claims change in one transaction, so that of two endpoints for one role one is refused.
The claims are in no index. Every write is conditional upon the ``version`` that was read.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from atelier.contract.tables import ENDPOINTS
from atelier.lambdas.adapters.tables import Item, guarded, item, plain
from atelier.lambdas.domain.endpoints import NAME, Endpoint
from atelier.lambdas.errors import Conflict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KIND = "endpoint"
INDEX = ENDPOINTS.indexes[0].name
ABSENT = {"ConditionExpression": "attribute_not_exists(id)"}
COUNTS = frozenset({"initial", "instances", "least", "most"})
NAMES = {"name": "id", "id": "jobId", "kind": "type", "created": "startTime"}
"""What members are called in the table, where that is not their own name."""


class DynamoEndpoints:
    """Endpoints by name."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, name: str) -> Endpoint | None:
        """Return an endpoint as it is now."""
        if not NAME.fullmatch(name):
            return None
        with guarded("never"):
            found = self._client.get_item(TableName=self._table, Key=item({"id": name}), ConsistentRead=True)
        values = plain(found.get("Item", {}))
        return _endpoint(values) if values.get("kind") == KIND else None

    def all(self) -> Iterator[Endpoint]:
        """Return every endpoint, the newest first."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=INDEX,
            KeyConditionExpression="kind = :kind",
            ExpressionAttributeValues=item({":kind": KIND}),
            ScanIndexForward=False,
        )
        with guarded("never"):
            for page in pages:
                yield from (_endpoint(plain(each)) for each in page["Items"])

    def add(self, endpoint: Endpoint) -> Endpoint:
        """Keep a new endpoint; Conflict names what is taken: the name, or a role's one of the kind."""
        kept = replace(endpoint, version=uuid.uuid4().hex)
        claims = [
            {"Put": {**self._on, "Item": item({"id": _claim(each), "endpoint": kept.name}), **ABSENT}}
            for each in kept.claims
        ]
        put = {"Put": {**self._on, "Item": _item(kept), **ABSENT}}
        taken = [
            f'Cannot create already existing model "{kept.name}"',
            *(f"role [{role}] has a valid endpoint already" for role in kept.roles),
        ]
        with guarded(f"the endpoint {kept.name} was changed elsewhere"):
            try:
                self._client.transact_write_items(TransactItems=[put, *claims])  # type: ignore[list-item]
            except ClientError as error:
                if words := _lost(error, taken):
                    raise Conflict(words) from error
                raise
        return kept

    def save(self, endpoint: Endpoint, *, was: Endpoint) -> Endpoint:
        """Put *endpoint* in the place of *was* and return it; a role that it loses may have another."""
        kept = replace(endpoint, version=uuid.uuid4().hex)
        put = {**self._on, "Item": _item(kept), **_unchanged(was)}
        released = [each for each in was.claims if each not in kept.claims]
        self._write({"Put": put}, released, was)
        return kept

    def remove(self, endpoint: Endpoint) -> None:
        """Forget an endpoint that is gone; Conflict when it is not as given any more."""
        delete = {**self._on, "Key": item({"id": endpoint.name}), **_unchanged(endpoint)}
        self._write({"Delete": delete}, list(endpoint.claims), endpoint)

    @property
    def _on(self) -> dict[str, Any]:
        return {"TableName": self._table}

    def _write(self, change: dict[str, Any], released: list[str], was: Endpoint) -> None:
        ours = {
            "ConditionExpression": "attribute_not_exists(id) OR endpoint = :name",
            "ExpressionAttributeValues": item({":name": was.name}),
        }
        freed = [{"Delete": {**self._on, "Key": item({"id": _claim(each)}), **ours}} for each in released]
        parts: Any = [change, *freed]
        with guarded(f"the endpoint {was.name} was changed elsewhere"):
            self._client.transact_write_items(TransactItems=parts)


def _claim(claim: str) -> str:
    return f"claim#{claim}"


def _lost(error: ClientError, taken: list[str]) -> str | None:
    """Return the words for the first part of a transaction whose condition failed."""
    reasons = error.response.get("CancellationReasons", [])
    pairs = zip(reasons, taken, strict=False)
    return next((words for each, words in pairs if each.get("Code") == "ConditionalCheckFailed"), None)


def _unchanged(was: Endpoint) -> dict[str, Any]:
    return {
        "ConditionExpression": "version = :was",
        "ExpressionAttributeValues": item({":was": was.version}),
    }


def _item(endpoint: Endpoint) -> Item:
    values = {NAMES.get(name, name): value for name, value in asdict(endpoint).items()}
    return item({**values, "roles": list(endpoint.roles), "kind": KIND})


def _endpoint(found: Mapping[str, Any]) -> Endpoint:
    names = {each.name: NAMES.get(each.name, each.name) for each in fields(Endpoint)}
    values = {name: found[kept] for name, kept in names.items() if kept in found}
    counts = {name: int(values[name]) for name in COUNTS}
    return Endpoint(**{**values, **counts, "roles": tuple(values["roles"])})
