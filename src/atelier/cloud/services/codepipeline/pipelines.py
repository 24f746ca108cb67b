"""The pipelines that exist, each with the declarations it has had."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from atelier.cloud.services.codepipeline.declaration import Declaration
from atelier.cloud.services.wire import ServiceError
from atelier.cloud.store import Record, Store

TRANSITIONS = ("Inbound", "Outbound")


def not_found(name: str) -> ServiceError:
    """Return the error for a pipeline that is not there."""
    return ServiceError(
        "PipelineNotFoundException", f"Account does not have a pipeline with the name '{name}'"
    )


class Pipelines:
    """The table of pipelines, and the table of their declarations by version.

    A pipeline made again under the same name is another one: *uid* keeps their executions apart.
    """

    def __init__(self, store: Store) -> None:
        self._pipelines = store.table("codepipeline.pipelines")
        self._versions = store.table("codepipeline.versions")

    def create(self, declaration: Declaration, tags: Mapping[str, str], now: str) -> Record:
        """Keep a new pipeline."""
        name = declaration["name"]
        if name in self._pipelines:
            raise ServiceError("PipelineNameInUseException", f"A pipeline with the name '{name}' exists")
        uid = uuid.uuid4().hex
        record = {"uid": uid, "version": 1, "created": now, "updated": now, "tags": dict(tags), "closed": {}}
        self._versions.put(f"{uid}:1", {**declaration, "version": 1})
        self._pipelines.put(name, record)
        return record

    def update(self, declaration: Declaration, now: str) -> Record:
        """Keep a pipeline's next version."""
        record = self.get(declaration["name"])
        version = record["version"] + 1
        self._versions.put(f"{record['uid']}:{version}", {**declaration, "version": version})
        return self.change(declaration["name"], version=version, updated=now)

    def change(self, name: str, **values: Any) -> Record:
        """Change a pipeline's record."""
        return self._pipelines.change(name, **values)

    def delete(self, name: str) -> None:
        """Forget a pipeline, and all its declarations."""
        record = self.get(name)
        self._pipelines.delete(name)
        for version in range(1, record["version"] + 1):
            self._versions.delete(f"{record['uid']}:{version}")

    def get(self, name: str) -> Record:
        """Return a pipeline's record; raise PipelineNotFoundException."""
        record = self._pipelines.get(name)
        if record is None:
            raise not_found(name)
        return record

    def declaration(self, name: str, version: int | None = None) -> Record:
        """Return a pipeline's declaration, the newest unless another *version* is asked for."""
        record = self.get(name)
        found = self._versions.get(f"{record['uid']}:{version or record['version']}")
        if found is None:
            raise ServiceError(
                "PipelineVersionNotFoundException", f"The pipeline '{name}' has no version {version}"
            )
        return found

    def names(self) -> list[str]:
        """Return the names of all pipelines."""
        return sorted(name for name, _ in self._pipelines.items())


def is_open(record: Mapping[str, Any], declaration: Declaration, index: int) -> bool:
    """Say whether a run may enter the stage of this index."""
    names = [stage["name"] for stage in declaration["stages"]]
    closed = record["closed"]
    inbound = f"{names[index]}:Inbound" in closed
    outbound = index > 0 and f"{names[index - 1]}:Outbound" in closed
    return not (inbound or outbound)
