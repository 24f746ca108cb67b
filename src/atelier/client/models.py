"""The registry: which versions of the model there are, where each came from, and how good it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer

from atelier.client.errors import NotFound, Problem
from atelier.client.outputs import PREFIX, output
from atelier.contract.events import BITS_PER_BYTE, MODEL, PERPLEXITY, PERPLEXITY_BEFORE

if TYPE_CHECKING:
    from atelier.client.session import Clients

REGISTRY_STACK = "registry"


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of the model, as the registry keeps it."""

    model: str
    version: int
    status: str
    commit: str = ""
    image: str = ""
    image_digest: str = ""
    data_version: str = ""
    run: str = ""
    training_job: str = ""
    endpoint_config: str = ""
    artifact: str = ""
    artifact_sha256: str = ""
    comparison: str = ""
    created: str = ""
    decided: str | None = None
    approver: str | None = None
    comment: str | None = None
    published: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_serving(self) -> bool:
        """Whether the stable endpoint serves it."""
        return self.status == "approved" and bool(self.published)

    @property
    def perplexity(self) -> float | None:
        """Perplexity on held-out text after training."""
        return self.metrics.get(PERPLEXITY)

    @property
    def perplexity_before(self) -> float | None:
        """Perplexity of the untrained model on the same text."""
        return self.metrics.get(PERPLEXITY_BEFORE)

    @property
    def bits_per_byte(self) -> float | None:
        """Bits per byte of held-out text: models with different tokenizers compare on it."""
        return self.metrics.get(BITS_PER_BYTE)

    @property
    def moment(self) -> datetime | None:
        """When it was recorded."""
        return datetime.fromisoformat(self.created) if self.created else None


@dataclass(frozen=True, kw_only=True)
class Models:
    """The versions of the model that the stacks of one prefix keep."""

    clients: Clients
    prefix: str = PREFIX

    def versions(self) -> list[Version]:
        """Return every version, the newest first."""
        pages = self.clients.dynamodb.get_paginator("query").paginate(
            TableName=output(self.clients, f"{self.prefix}-{REGISTRY_STACK}", "ModelTableName"),
            KeyConditionExpression="#model = :model AND #version > :zero",
            ExpressionAttributeNames={"#model": "model", "#version": "version"},
            ExpressionAttributeValues={":model": {"S": MODEL}, ":zero": {"N": "0"}},
            ScanIndexForward=False,
            ConsistentRead=True,
        )
        return [version for page in pages for version in _versions(page["Items"])]

    def version(self, wanted: str | None = None) -> Version:
        """Return the version of that number; of none, the one that serves, or else the newest."""
        found = self.versions()
        if not found:
            raise NotFound(f"there is no model in {self.clients.where} yet: a run of the pipeline makes one")
        if wanted is None:
            return next((each for each in found if each.is_serving), found[0])
        if not wanted.isdecimal():
            raise Problem(f"{wanted!r} is not the number of a version")
        for each in found:
            if each.version == int(wanted):
                return each
        raise NotFound(f"there is no version {wanted}: the newest is {found[0].version}")

    def of_run(self, run: str) -> Version | None:
        """Return what a run of the pipeline recorded."""
        return next((each for each in self.versions() if each.run == run), None)


def _versions(items: list[Any]) -> Iterator[Version]:
    known = {each.name for each in fields(Version)}
    read = TypeDeserializer().deserialize
    for item in items:
        values = {name: _plain(read(value)) for name, value in item.items() if name in known}
        yield Version(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value
