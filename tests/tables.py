"""Tables in a faked or a local DynamoDB, as the contract declares them."""

from __future__ import annotations

from typing import Any

from atelier.contract.tables import Table


def create(dynamodb: Any, name: str, table: Table) -> None:
    """Make a table with its indexes."""
    keys = {table.hash, *(key for each in table.indexes for key in (each.hash, each.range))}
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": table.hash, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in sorted(keys)],
        GlobalSecondaryIndexes=[
            {
                "IndexName": each.name,
                "KeySchema": [
                    {"AttributeName": each.hash, "KeyType": "HASH"},
                    {"AttributeName": each.range, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
            for each in table.indexes
        ],
        BillingMode="PAY_PER_REQUEST",
    )
