"""Trainings, merges and crops, and datasets, in DynamoDB (`atelier.contract.tables`).

Work that is not done with has the attribute ``running``, and is found by that; datasets have the ``kind``
``dataset`` and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from atelier.contract.tables import DATASETS, WORK
from atelier.lambdas.adapters.rows import Rows
from atelier.lambdas.domain.datasets import Crop, Dataset
from atelier.lambdas.domain.work import Parent, Work

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BY_KIND, RUNNING = WORK.indexes
YES = "yes"
DATASET = "dataset"


class DynamoWorks(Rows[Work]):
    """Trainings, merges and crops."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        super().__init__(client, table, by_kind=BY_KIND, encode=_work_item, decode=_work)

    def running(self) -> Iterator[Work]:
        """Return what is not done with, the oldest first."""
        return self._query(RUNNING, YES, newest=False)


class DynamoDatasets(Rows[Dataset]):
    """Datasets."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        by_kind = DATASETS.indexes[0]
        super().__init__(client, table, by_kind=by_kind, encode=_dataset_item, decode=_dataset)


def _work_item(work: Work) -> dict[str, Any]:
    values = {name: value for name, value in asdict(work).items() if value not in ("", ())}
    parents = [asdict(each) for each in work.parents]
    return {**values, "parents": parents, RUNNING.hash: YES if work.is_watched else None}


def _work(found: Mapping[str, Any]) -> Work:
    values = {name: value for name, value in found.items() if name != RUNNING.hash}
    return Work(**{**values, "parents": tuple(Parent(**each) for each in found.get("parents", ()))})


def _dataset_item(dataset: Dataset) -> dict[str, Any]:
    values = {name: value for name, value in asdict(dataset).items() if value != ""}
    return {**values, "id": dataset.name, DATASETS.indexes[0].hash: DATASET}


def _dataset(found: Mapping[str, Any]) -> Dataset:
    values = {name: value for name, value in found.items() if name not in {"id", DATASETS.indexes[0].hash}}
    crop = Crop(**found["crop"]) if found.get("crop") else None
    return Dataset(**{**values, "parts": int(found["parts"]), "crop": crop})
