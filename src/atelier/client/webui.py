"""The image of the WebUI: which one is the newest that works, how each came to be, and a look upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer

from atelier.client.errors import NotDeployed, NotFound, Refusal
from atelier.client.outputs import PREFIX, outputs

if TYPE_CHECKING:
    from atelier.client.session import Clients

STATE_STACK, PIPELINE_STACK = "webui-state", "webui-pipeline"
RUNS_BY_TIME = "kind-started-index"
IMAGE, UPSTREAM_COMMIT, PROVENANCE = "image", "upstream-commit", "provenance"
DEPLOY = "run `atelier deploy webui`"


@dataclass(frozen=True, kw_only=True)
class Image:
    """The newest image that passed its tests, named by its digest."""

    uri: str
    upstream_commit: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest alone."""
        return digest(self.uri)


@dataclass(frozen=True, kw_only=True)
class Build:
    """What became of one run of the pipeline."""

    run: str
    status: str
    upstream: str = ""
    upstream_url: str = ""
    source: str = ""
    tag: str = ""
    image: str = ""
    trigger: str = ""
    reason: str = ""
    started: str = ""
    ended: str = ""
    size_bytes: int = 0
    startup_seconds: float = 0.0

    @property
    def moment(self) -> datetime | None:
        """When it began."""
        return datetime.fromisoformat(self.started).astimezone(UTC) if self.started else None


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look at the upstream repository came to, and the run of its head if there is one."""

    outcome: str
    summary: str = ""
    head: str = ""
    run: str = ""


def digest(uri: str) -> str:
    """Return the digest that an image is named by."""
    return uri.rpartition("@")[2]


@dataclass(frozen=True, kw_only=True)
class WebUI:
    """The WebUI's pipeline of one installation."""

    clients: Clients
    prefix: str = PREFIX

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return f"{self.prefix}-webui"

    def image(self) -> Image:
        """Return the newest image that works; raise NotFound before there is one."""
        names = {each: f"/{self.prefix}/webui/{each}" for each in (IMAGE, UPSTREAM_COMMIT, PROVENANCE)}
        found = self.clients.ssm.get_parameters(Names=list(names.values()))["Parameters"]
        values = {each["Name"]: each["Value"] for each in found}
        uri = values.get(names[IMAGE], "")
        if "@sha256:" not in uri:
            self._outputs(STATE_STACK)
            raise NotFound(
                f"there is no image of the WebUI in {self.clients.where} yet: `atelier webui track` looks for"
                f" an upstream commit to build, `atelier pipeline show {self.pipeline}` shows the build"
            )
        return Image(
            uri=uri,
            upstream_commit=values.get(names[UPSTREAM_COMMIT], ""),
            provenance=_document(values.get(names[PROVENANCE], "{}")),
        )

    def history(self) -> list[Build]:
        """Return what became of each run, the newest first."""
        pages = self.clients.dynamodb.get_paginator("query").paginate(
            TableName=self._output(STATE_STACK, "WebuiHistoryTableName"),
            IndexName=RUNS_BY_TIME,
            KeyConditionExpression="#kind = :run",
            ExpressionAttributeNames={"#kind": "kind"},
            ExpressionAttributeValues={":run": {"S": "run"}},
            ScanIndexForward=False,
        )
        return [build for page in pages for build in _builds(page["Items"])]

    def track(self) -> Look:
        """Look at the upstream repository now, as the schedule does, and return what that found."""
        answer = self.clients.awslambda.invoke(
            FunctionName=self._output(PIPELINE_STACK, "WebuiTrackFunctionName"), Payload=b"{}"
        )
        said = json.loads(answer["Payload"].read() or b"{}") or {}
        if "FunctionError" in answer:
            raise Refusal(f"the look upstream failed: {said.get('errorMessage', 'no reason given')}")
        return Look(**{each.name: str(said.get(each.name) or "") for each in fields(Look)})

    def _output(self, stack: str, name: str) -> str:
        found = self._outputs(stack)
        if name not in found:
            raise NotDeployed(f"stack {self.prefix}-{stack} does not say its {name}: {DEPLOY} again")
        return found[name]

    def _outputs(self, stack: str) -> dict[str, str]:
        try:
            return outputs(self.clients, f"{self.prefix}-{stack}")
        except NotDeployed as error:
            raise NotDeployed(
                f"there is no WebUI pipeline {self.prefix} in {self.clients.where}: {DEPLOY}"
            ) from error


def _document(text: str) -> dict[str, Any]:
    found = json.loads(text)
    return found if isinstance(found, dict) else {}


def _builds(items: list[Any]) -> Iterator[Build]:
    known = {each.name for each in fields(Build)}
    read = TypeDeserializer().deserialize
    for item in items:
        yield Build(**{name: _plain(read(value)) for name, value in item.items() if name in known})


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
