"""What the fleet remembers, in DynamoDB.

One table, keyed by ``id``: ``state`` says what serves and what is tried, every other item is a landing and
what became of it, with a ``kind`` by which the index has it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from atelier.contract import fleet
from atelier.contract.fleet import Model
from atelier.lambdas.adapters import tables
from atelier.lambdas.domain.fleet import Record, State, Trial

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoMemory:
    """The state, and the landings."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def state(self) -> State:
        """Return what serves and what is tried."""
        found = self._get(fleet.STATE)
        if found is None:
            return State()
        document = json.loads(found["document"])
        serving, trial = document["serving"], document["trial"]
        return State(
            serving=Model(**serving) if serving else None,
            landing=document["landing"],
            trial=Trial(**{**trial, "model": Model(**trial["model"])}) if trial else None,
            revision=int(found["revision"]),
        )

    def save(self, state: State) -> State:
        """Keep it in place of the one it was made from."""
        changed = replace(state, revision=state.revision + 1)
        document = {name: value for name, value in asdict(changed).items() if name != "revision"}
        item = {"id": fleet.STATE, "document": json.dumps(document), "revision": changed.revision}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(id)"}
        if state.revision:
            condition = {
                "ConditionExpression": "revision = :revision",
                "ExpressionAttributeValues": {":revision": {"N": str(state.revision)}},
            }
        with tables.guarded("the fleet's state was changed meanwhile"):
            self._client.put_item(TableName=self._table, Item=tables.item(item), **condition)
        return changed

    def record(self, id: str) -> Record | None:
        """Return what became of a landing."""
        found = self._get(id)
        if found is None:
            return None
        names = {each.name for each in fields(Record)}
        values = {name: value for name, value in found.items() if name in names}
        return Record(**{**values, "size": int(found["size"])})

    def write(self, record: Record) -> None:
        """Keep what became of a landing."""
        with tables.guarded(f"{record.id} changes"):
            self._client.put_item(
                TableName=self._table, Item=tables.item({**asdict(record), "kind": fleet.KIND})
            )

    def _get(self, id: str) -> dict[str, Any] | None:
        with tables.guarded(f"{id} changes"):
            found = self._client.get_item(TableName=self._table, Key={"id": {"S": id}}, ConsistentRead=True)
        return tables.plain(found["Item"]) if "Item" in found else None
