"""How often users ask, in DynamoDB.

The table has the string key ``pk``, ``<window>#<user>``, the number ``used``, and ``expires``, the time in
seconds after which DynamoDB may forget the item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atelier.lambdas.adapters.tables import guarded, item
from atelier.lambdas.errors import Conflict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEPT = 3600
"""Seconds that a window is kept when it is over."""


class DynamoRates:
    """How many requests each user has been granted."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def take(self, user: str, window: int, count: int, *, limit: int) -> bool:
        """Grant *count* more requests, unless *limit* is passed in all since *window*, a time in seconds."""
        if count > limit:
            return False
        try:
            with guarded("no more"):
                self._client.update_item(
                    TableName=self._table,
                    Key=item({"pk": f"{window}#{user}"}),
                    UpdateExpression="SET expires = :expires ADD used :count",
                    ConditionExpression="attribute_not_exists(used) OR used <= :room",
                    ExpressionAttributeValues=item(
                        {":expires": window + KEPT, ":count": count, ":room": limit - count}
                    ),
                )
        except Conflict:
            return False
        return True
