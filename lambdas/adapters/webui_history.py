"""The history of the WebUI's pipeline, in DynamoDB.

One table, keyed by ``id``: ``run#<id>`` is a run of the pipeline, ``commit#<id>`` an upstream commit that was
begun, ``upstream`` the last look at upstream. Each has the members of its class that have a value; a
``revision`` counts its writes, so that of two writers who read the same one wins. Runs have a ``kind`` too,
and with it are in the index.
"""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from atelier.lambdas.adapters import tables
from atelier.lambdas.domain.webui import Commit, Run, Watch

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Record = TypeVar("Record", Watch, Commit, Run)

RUN, COMMIT, UPSTREAM = "run", "commit", "upstream"


class DynamoHistory:
    """What is remembered of runs, commits and upstream."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def watch(self) -> Watch:
        """Return the last look at upstream."""
        return self._get(UPSTREAM, Watch) or Watch()

    def commit(self, id: str) -> Commit | None:
        """Return an upstream commit, if it was begun."""
        return self._get(f"{COMMIT}#{id}", Commit)

    def run(self, id: str) -> Run | None:
        """Return a run, if it was heard of."""
        return self._get(f"{RUN}#{id}", Run)

    def save_watch(self, value: Watch) -> Watch:
        """Keep it in place of the one it was made from."""
        return self._save(UPSTREAM, value)

    def save_commit(self, value: Commit) -> Commit:
        """Keep it in place of the one it was made from."""
        return self._save(f"{COMMIT}#{value.id}", value, commit=value.id)

    def save_run(self, value: Run) -> Run:
        """Keep it in place of the one it was made from."""
        return self._save(f"{RUN}#{value.run}", value, kind=RUN)

    def _get(self, key: str, cls: type[Record]) -> Record | None:
        with tables.guarded(f"{key} changes"):
            found = self._client.get_item(TableName=self._table, Key={"id": {"S": key}}, ConsistentRead=True)
        if "Item" not in found:
            return None
        values = tables.plain(found["Item"])
        values["id"] = values.pop("commit", key)
        names = {each.name for each in fields(cls)}
        return cls(**{name: _plain(value) for name, value in values.items() if name in names})

    def _save(self, key: str, value: Record, **more: str) -> Record:
        changed = replace(value, revision=value.revision + 1)
        item = {name: _stored(each) for name, each in asdict(changed).items()}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(id)"}
        if value.revision:
            condition = {
                "ConditionExpression": "revision = :revision",
                "ExpressionAttributeValues": {":revision": {"N": str(value.revision)}},
            }
        with tables.guarded(f"{key} was changed meanwhile"):
            self._client.put_item(
                TableName=self._table, Item=tables.item({**item, **more, "id": key}), **condition
            )
        return changed


def _stored(value: Any) -> Any:
    return Decimal(repr(value)) if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)
