"""Inferences in DynamoDB.

The table has the string key ``id``, and three indexes (`atelier.contract.tables`): by ``taskType`` and
``createTime``; by ``userTask``, which is ``<user>#<taskType>``, and ``createTime``; by ``running``, which
only jobs in progress have, and ``startTime``. The rest are the members of `Inference` that have a value.
Every write is conditional upon the ``version`` that was read.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from atelier.contract.tables import INFERENCES
from atelier.lambdas.adapters.tables import Item, guarded, item, plain
from atelier.lambdas.domain.inferences import Inference, Model, Runner, Sent
from atelier.lambdas.domain.pages import Cursor, Page

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BY_TASK, BY_USER, RUNNING = INFERENCES.indexes
ID = re.compile("[0-9a-f-]{36}")
YES = "yes"
PAGE = 50
"""Running jobs that are read at once."""

NAMES = {"task": "taskType", "created": "createTime", "started": "startTime"}
"""What members are called in the table, where that is not their own name."""


class DynamoInferences:
    """Jobs by id."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, id: str) -> Inference | None:
        """Return a job as it is now."""
        if not ID.fullmatch(id):
            return None
        with guarded("never"):
            found = self._client.get_item(TableName=self._table, Key=item({"id": id}), ConsistentRead=True)
        return _inference(plain(found["Item"])) if "Item" in found else None

    def page(self, task: str, user: str | None, limit: int, after: Cursor | None) -> Page[Inference]:
        """Return some jobs of a kind of task, of one user or of all, the newest first."""
        index, partition = (BY_TASK, task) if user is None else (BY_USER, f"{user}#{task}")
        query: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": index.name,
            "KeyConditionExpression": f"{index.hash} = :partition",
            "ExpressionAttributeValues": item({":partition": partition}),
            "ScanIndexForward": False,
            "Limit": limit + 1,
        }
        if after is not None:
            start = {"id": after.id, index.hash: partition, index.range: after.at}
            query["ExclusiveStartKey"] = item(start)
        found = self._query(query, limit + 1)
        shown = tuple(_inference(each) for each in found[:limit])
        of = f"{task}#{user or ''}"
        is_more = len(found) > limit
        last = Cursor(of=of, at=shown[-1].created, id=shown[-1].id) if is_more else None
        return Page(items=shown, last=last)

    def running(self, before: str) -> Iterator[Inference]:
        """Return the jobs in progress that were started before a time, the oldest first."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=RUNNING.name,
            KeyConditionExpression="running = :yes AND startTime < :before",
            ExpressionAttributeValues=item({":yes": YES, ":before": before}),
            PaginationConfig={"PageSize": PAGE},
        )
        with guarded("never"):
            for page in pages:
                yield from (_inference(plain(each)) for each in page["Items"])

    def add(self, job: Inference) -> Inference:
        """Keep a new job."""
        return self._put(job, ConditionExpression="attribute_not_exists(id)")

    def save(self, job: Inference, *, was: Inference) -> Inference:
        """Put *job* in the place of *was* and return it."""
        return self._put(
            job,
            ConditionExpression="version = :was",
            ExpressionAttributeValues=item({":was": was.version}),
        )

    def remove(self, id: str) -> None:
        """Forget a job; none is fine."""
        with guarded("never"):
            self._client.delete_item(TableName=self._table, Key=item({"id": id}))

    def _put(self, job: Inference, **condition: Any) -> Inference:
        kept = replace(job, version=uuid.uuid4().hex)
        with guarded(f"inference {job.id} was changed elsewhere"):
            self._client.put_item(TableName=self._table, Item=_item(kept), **condition)
        return kept

    def _query(self, query: dict[str, Any], most: int) -> list[dict[str, Any]]:
        """Return *most* items, or all: an answer of DynamoDB has no more than a megabyte."""
        found: list[dict[str, Any]] = []
        while True:
            with guarded("never"):
                answer = self._client.query(**query)
            found += [plain(each) for each in answer["Items"]]
            if len(found) >= most or "LastEvaluatedKey" not in answer:
                return found
            query |= {"ExclusiveStartKey": answer["LastEvaluatedKey"], "Limit": most - len(found)}


def _item(job: Inference) -> Item:
    values = {NAMES.get(name, name): value for name, value in asdict(job).items() if value not in ("", ())}
    models = [
        {name: each for name, each in asdict(model).items() if each is not None} for model in job.models
    ]
    keys = {BY_USER.hash: f"{job.user}#{job.task}", RUNNING.hash: YES if job.status == "inprogress" else None}
    return item({**values, "models": models, "images": list(job.images), **keys})


def _inference(found: Mapping[str, Any]) -> Inference:
    names = {kept: name for name, kept in NAMES.items()}
    hidden = {BY_USER.hash, RUNNING.hash}
    values = {names.get(kept, kept): value for kept, value in found.items() if kept not in hidden}
    return Inference(
        **{
            **values,
            "runner": Runner(**values["runner"]),
            "models": tuple(Model(**each) for each in values["models"]),
            "images": tuple(values["images"]),
            "sent": Sent(**values["sent"]) if "sent" in values else None,
            "attempts": int(values["attempts"]),
        }
    )
