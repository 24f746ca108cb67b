"""Checkpoints in DynamoDB.

The table has the string key ``id``, and two indexes (`atelier.contract.tables`): by ``kind`` and by ``type``,
both with ``created``. Two sorts of items are in it:

======================  ================================================================================
id                      other attributes
======================  ================================================================================
uuid                    the members of `Checkpoint` that have a value, ``kind`` (``checkpoint``)
``NAME#<type>#<name>``  ``holder``: that checkpoint has claimed the name
======================  ================================================================================

A checkpoint and its claims change in one transaction, upon the ``version`` that was read: of two who want
a name one has it. Functions need GetItem, BatchGetItem, PutItem, DeleteItem, and Query on the indexes.
"""

from __future__ import annotations

import heapq
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args

from atelier.contract.api.checkpoints import CheckpointType
from atelier.contract.tables import CHECKPOINTS
from atelier.lambdas.adapters.tables import Item, guarded, item, plain
from atelier.lambdas.domain.accounts import Caller
from atelier.lambdas.domain.checkpoints import LONGEST_NAME, Checkpoint, File, Source
from atelier.lambdas.domain.inferences import Model
from atelier.lambdas.errors import Busy

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

BY_KIND, BY_TYPE = CHECKPOINTS.indexes
KIND = "checkpoint"
ABSENT = "attribute_not_exists(id)"
UNCHANGED = "version = :was"
TYPES = frozenset(get_args(CheckpointType))
MOST = 10_000
"""Checkpoints that a list looks at, the newest: no request reads without end."""

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class DynamoCheckpoints:
    """Checkpoints by id, and by type and name."""

    def __init__(self, client: DynamoDBClient, table: str, bucket: str) -> None:
        self._client = client
        self._table = table
        self._bucket = bucket

    def get(self, id: str) -> Checkpoint | None:
        """Return a checkpoint as it is now."""
        found = self._get(id) if ID.fullmatch(id) else None
        return _checkpoint(found) if found else None

    def find(self, type: str, name: str, caller: Caller) -> Model | None:
        """Return an active checkpoint's file of that name, if the caller may use one."""
        if type not in TYPES or not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
            return None
        claim = self._get(_claim(type, name))
        found = self.get(claim["holder"]) if claim else None
        file = found.file(name) if found else None
        if found is None or file is None or found.status != "Active" or not found.is_for(caller):
            return None
        address = f"s3://{self._bucket}/{file.key}"
        return Model(id=found.id, type=type, name=name, s3=address, sha256=file.sha256 or None)

    def all(self, types: Collection[str]) -> Iterator[Checkpoint]:
        """Return the checkpoints of some types, of all when there are none, the newest first."""
        known = sorted(TYPES.intersection(types))
        lists = [self._query(BY_TYPE.name, BY_TYPE.hash, each) for each in known]
        if not types:
            lists = [self._query(BY_KIND.name, BY_KIND.hash, KIND)]
        newest = heapq.merge(*lists, key=lambda each: each.created, reverse=True)
        return islice(newest, MOST)

    def _query(self, index: str, key: str, value: str) -> Iterator[Checkpoint]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=index,
            KeyConditionExpression="#key = :value",
            ExpressionAttributeNames={"#key": key},
            ExpressionAttributeValues=item({":value": value}),
            ScanIndexForward=False,
        )
        with guarded("never"):
            for page in pages:
                yield from (_checkpoint(plain(each)) for each in page["Items"])

    def holders(self, type: str, names: Collection[str]) -> Mapping[str, str]:
        """Return the ids of the checkpoints that have claimed names of a type."""
        if not names:
            return {}
        wanted = {_claim(type, each): each for each in names}
        with guarded("never"):
            answer = self._client.batch_get_item(
                RequestItems={
                    self._table: {"Keys": [item({"id": each}) for each in wanted], "ConsistentRead": True}
                }
            )
        if answer.get("UnprocessedKeys"):
            raise Busy("the table is too busy, try again")
        found = map(plain, answer["Responses"].get(self._table, []))
        return {wanted[each["id"]]: str(each["holder"]) for each in found}

    def add(self, checkpoint: Checkpoint) -> Checkpoint:
        """Keep a new checkpoint."""
        return self._put(checkpoint, None)

    def save(self, checkpoint: Checkpoint, *, was: Checkpoint) -> Checkpoint:
        """Put *checkpoint* in the place of *was* and return it."""
        return self._put(checkpoint, was)

    def remove(self, checkpoint: Checkpoint) -> None:
        """Forget a checkpoint and its claims."""
        forget: TransactWriteItemTypeDef = {
            "Delete": {
                "TableName": self._table,
                "Key": item({"id": checkpoint.id}),
                "ConditionExpression": UNCHANGED,
                "ExpressionAttributeValues": item({":was": checkpoint.version}),
            }
        }
        released = self._released(checkpoint.id, checkpoint.type, checkpoint.claims)
        self._write(checkpoint, [forget, *released])

    def _put(self, checkpoint: Checkpoint, was: Checkpoint | None) -> Checkpoint:
        kept = replace(checkpoint, version=uuid.uuid4().hex)
        put: TransactWriteItemTypeDef = {
            "Put": {"TableName": self._table, "Item": _item(kept), "ConditionExpression": ABSENT}
        }
        if was is not None:
            put["Put"]["ConditionExpression"] = UNCHANGED
            put["Put"]["ExpressionAttributeValues"] = item({":was": was.version})
        had = was.claims if was else frozenset()
        gained = self._claimed(kept.id, kept.type, kept.claims - had)
        lost = self._released(kept.id, kept.type, had - kept.claims)
        self._write(kept, [put, *gained, *lost])
        return kept

    def _claimed(self, id: str, type: str, names: Iterable[str]) -> Iterator[TransactWriteItemTypeDef]:
        for name in sorted(names):
            yield {
                "Put": {
                    "TableName": self._table,
                    "Item": item({"id": _claim(type, name), "holder": id}),
                    "ConditionExpression": ABSENT,
                }
            }

    def _released(self, id: str, type: str, names: Iterable[str]) -> Iterator[TransactWriteItemTypeDef]:
        for name in sorted(names):
            yield {
                "Delete": {
                    "TableName": self._table,
                    "Key": item({"id": _claim(type, name)}),
                    "ConditionExpression": "holder = :id",
                    "ExpressionAttributeValues": item({":id": id}),
                }
            }

    def _write(self, checkpoint: Checkpoint, writes: list[TransactWriteItemTypeDef]) -> None:
        with guarded(f"checkpoint {checkpoint.id} was changed elsewhere, or a name of it is taken"):
            self._client.transact_write_items(TransactItems=writes)

    def _get(self, id: str) -> dict[str, Any] | None:
        with guarded("never"):
            found = self._client.get_item(TableName=self._table, Key=item({"id": id}), ConsistentRead=True)
        return plain(found["Item"]) if "Item" in found else None


def _claim(type: str, name: str) -> str:
    return f"NAME#{type}#{name}"


def _item(checkpoint: Checkpoint) -> Item:
    values = {name: value for name, value in asdict(checkpoint).items() if value not in ("", ())}
    lists: dict[str, Any] = {
        name: list(values[name]) for name in ("roles", "files", "sources") if name in values
    }
    return item({**values, **lists, BY_KIND.hash: KIND})


def _checkpoint(found: Mapping[str, Any]) -> Checkpoint:
    values = {name: value for name, value in found.items() if name != BY_KIND.hash}
    return Checkpoint(
        **{
            **values,
            "roles": tuple(found.get("roles", ())),
            "files": tuple(File(**each) for each in found.get("files", ())),
            "sources": tuple(
                Source(**{**each, "attempts": int(each["attempts"])}) for each in found.get("sources", ())
            ),
        }
    )
