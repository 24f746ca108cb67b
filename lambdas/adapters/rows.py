"""Rows of a table by their ids, and lists of them by an index; every write is conditional.

Functions need GetItem, PutItem, DeleteItem, and Query on the indexes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from atelier.contract.tables import Index
from atelier.lambdas.adapters.tables import guarded, item, plain
from atelier.lambdas.domain.pages import Cursor

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MOST = 10_000
"""Rows that a list looks at: no request reads without end."""
LONGEST_ID = 200


class Versioned(Protocol):
    """A row: each write makes another version of it."""

    @property
    def id(self) -> str:
        """By which it is found."""

    @property
    def version(self) -> str:
        """What a write names that replaces it."""


Row = TypeVar("Row", bound=Versioned)


class Rows(Generic[Row]):
    """Rows of one sort."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        *,
        by_kind: Index,
        encode: Callable[[Row], Mapping[str, Any]],
        decode: Callable[[Mapping[str, Any]], Row],
    ) -> None:
        self._client = client
        self._table = table
        self._by_kind = by_kind
        self._encode = encode
        self._decode = decode

    def get(self, id: str) -> Row | None:
        """Return a row as it is now."""
        if not 0 < len(id) <= LONGEST_ID or not id.isascii():
            return None
        with guarded("never"):
            found = self._client.get_item(TableName=self._table, Key=item({"id": id}), ConsistentRead=True)
        return self._decode(plain(found["Item"])) if "Item" in found else None

    def newest(self, kind: str, after: Cursor | None) -> Iterator[Row]:
        """Return the rows of a kind that come after the cursor, the newest first."""
        start = {"id": after.id, self._by_kind.hash: kind, self._by_kind.range: after.at} if after else None
        return self._query(self._by_kind, kind, newest=True, start=start)

    def add(self, row: Row) -> Row:
        """Keep a new row."""
        return self._put(row, ConditionExpression="attribute_not_exists(id)")

    def save(self, row: Row, *, was: Row) -> Row:
        """Put *row* in the place of *was* and return it."""
        values = item({":was": was.version})
        return self._put(row, ConditionExpression="version = :was", ExpressionAttributeValues=values)

    def remove(self, id: str) -> None:
        """Forget a row; none is fine."""
        with guarded("never"):
            self._client.delete_item(TableName=self._table, Key=item({"id": id}))

    def _query(
        self, index: Index, value: str, *, newest: bool, start: Mapping[str, str] | None = None
    ) -> Iterator[Row]:
        query: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": index.name,
            "KeyConditionExpression": "#key = :value",
            "ExpressionAttributeNames": {"#key": index.hash},
            "ExpressionAttributeValues": item({":value": value}),
            "ScanIndexForward": not newest,
        }
        if start:
            query["ExclusiveStartKey"] = item(start)
        return islice(self._pages(query), MOST)

    def _pages(self, query: dict[str, Any]) -> Iterator[Row]:
        while True:
            with guarded("never"):
                answer = self._client.query(**query)
            yield from (self._decode(plain(each)) for each in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _put(self, row: Row, **condition: Any) -> Row:
        kept: Row = replace(row, version=uuid.uuid4().hex)  # type: ignore[type-var]
        with guarded(f"{row.id} was changed elsewhere"):
            self._client.put_item(TableName=self._table, Item=item(self._encode(kept)), **condition)
        return kept
