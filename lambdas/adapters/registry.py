"""The registry of model versions, in DynamoDB.

One table, keyed by ``model`` and ``version``. A version is an item with the members of `ModelVersion` that
have a value. Version 0 of a model counts its versions in ``latest``; version 0 of ``run#<id>`` says in
``recorded`` which version a run recorded last, and in ``job`` for which training job, so that recording the
same job again makes no second version. Every move is a conditional write.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from atelier.lambdas.adapters import faults, tables
from atelier.lambdas.domain.training import ModelVersion
from atelier.lambdas.errors import Busy, Conflict, Invalid, NotFound

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

Item = dict[str, "AttributeValueTypeDef"]

UNCHANGED = "#status = :status AND attribute_not_exists(published)"
UNCHANGED_PUBLISHED = "#status = :status AND published = :published"
PAUSES = (0.1, 0.2, 0.4)
"""Seconds between the tries of a transaction that another one, or too many of them, kept from happening."""
PASSING = tables.LATER | {"TransactionConflict"}


class DynamoRegistry:
    """The versions of one model."""

    def __init__(
        self, client: DynamoDBClient, table: str, model: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._model = model
        self._sleep = sleep

    def record(self, draft: ModelVersion) -> ModelVersion:
        """Give *draft* the next number and keep it; a second record of the same job returns the first."""
        earlier = self._recorded(draft.run)
        if earlier.get("job") == draft.training_job:
            return self.get(int(earlier["recorded"]))
        version = replace(draft, version=self._next())
        pointer = {
            **_run_key(draft.run),
            **_item({"recorded": version.version, "job": draft.training_job}),
        }
        self._together(
            [
                {
                    "Put": {
                        "TableName": self._table,
                        "Item": _item(asdict(version)),
                        "ConditionExpression": "attribute_not_exists(model)",
                    }
                },
                {
                    "Put": {
                        "TableName": self._table,
                        "Item": pointer,
                        "ConditionExpression": "attribute_not_exists(job) OR job <> :job",
                        "ExpressionAttributeValues": _item({":job": draft.training_job}),
                    }
                },
            ],
            conflict=f"the job {draft.training_job} is being recorded elsewhere",
        )
        return version

    def get(self, version: int) -> ModelVersion:
        """Return a version; raise NotFound."""
        found = self._client.get_item(TableName=self._table, Key=self._key(version), ConsistentRead=True).get(
            "Item"
        )
        if found is None:
            raise NotFound(f"there is no version {version} of {self._model}")
        return _version(found)

    def of_run(self, run: str) -> ModelVersion | None:
        """Return what a run recorded last."""
        recorded = self._recorded(run).get("recorded")
        return None if recorded is None else self.get(int(recorded))

    def newest_first(self) -> Iterator[ModelVersion]:
        """Return every version."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="model = :model AND version > :counter",
            ExpressionAttributeValues=_item({":model": self._model, ":counter": 0}),
            ScanIndexForward=False,
            ConsistentRead=True,
        )
        return (_version(item) for page in pages for item in page["Items"])

    def save(self, version: ModelVersion, *, was: ModelVersion) -> None:
        """Replace *was*; raise Conflict when another writer came first."""
        values = {":status": was.status} | ({":published": was.published} if was.published else {})
        try:
            self._client.put_item(
                TableName=self._table,
                Item=_item(asdict(version)),
                ConditionExpression=UNCHANGED_PUBLISHED if was.published else UNCHANGED,
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=_item(values),
            )
        except ClientError as error:
            if faults.code(error) == "ConditionalCheckFailedException":
                raise Conflict(
                    f"version {was.version} of {was.model} is not {was.status} any more"
                ) from error
            raise

    def _together(self, writes: list[TransactWriteItemTypeDef], *, conflict: str) -> None:
        """Write all or nothing; raise Conflict where a condition fails, Busy where it may succeed later."""
        for pause in (*PAUSES, None):
            try:
                self._client.transact_write_items(TransactItems=writes)
            except ClientError as error:
                reasons = tables.reasons(error)
                if "ConditionalCheckFailed" in reasons:
                    raise Conflict(conflict) from error
                if not reasons & PASSING:
                    raise
                if pause is None:
                    raise Busy("the registry is too busy, try again") from error
                self._sleep(pause)
            else:
                return

    def _next(self) -> int:
        answer = self._client.update_item(
            TableName=self._table,
            Key=self._key(0),
            UpdateExpression="ADD latest :one",
            ExpressionAttributeValues=_item({":one": 1}),
            ReturnValues="UPDATED_NEW",
        )
        return int(_plain(answer["Attributes"])["latest"])

    def _recorded(self, run: str) -> dict[str, Any]:
        found = self._client.get_item(TableName=self._table, Key=_run_key(run), ConsistentRead=True)
        return _plain(found.get("Item", {}))

    def _key(self, version: int) -> Item:
        return _item({"model": self._model, "version": version})


def _run_key(run: str) -> Item:
    return _item({"model": f"run#{run}", "version": 0})


def _item(values: Mapping[str, Any]) -> Item:
    serialize = TypeSerializer().serialize
    return {name: serialize(_exact(name, value)) for name, value in values.items() if value is not None}


def _exact(name: str, value: Any) -> Any:
    """Return floats as decimals, which is what DynamoDB keeps; refuse what is no number by its name."""
    if isinstance(value, Mapping):
        return {inner: _exact(inner, each) for inner, each in value.items()}
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise Invalid(f"{name} is {value}: the registry keeps finite numbers only")
    return Decimal(repr(value))


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    deserialize = TypeDeserializer().deserialize
    return {name: deserialize(value) for name, value in item.items()}


def _version(item: Mapping[str, Any]) -> ModelVersion:
    values = _plain(item)
    metrics = {name: float(value) for name, value in values.get("metrics", {}).items()}
    return ModelVersion(**{**values, "version": int(values["version"]), "metrics": metrics})
