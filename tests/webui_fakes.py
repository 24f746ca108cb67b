"""Fakes of what the functions around the WebUI's pipeline work with, and what their tests begin with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from atelier.contract.webui import PublishImage
from atelier.lambdas.domain.webui import Commit, Execution, Run, Upstream, Watch
from atelier.lambdas.errors import Conflict, NotFound

HEAD, NEXT, OURS = "a" * 40, "b" * 40, "c" * 40
NOW = "2001-01-01T12:00:00+00:00"
SOON = "2001-01-01T12:05:00+00:00"
LATER = "2001-01-01T12:30:00+00:00"
TOMORROW = "2001-01-02T12:00:00+00:00"
URL = "https://git.example/webui"
DECLARED = f'[upstream]\nrepository = "{URL}"\nbranch = "master"\n'


@dataclass
class FakeDeclarations:
    """Our source, which says this."""

    said: str | None = DECLARED

    def text(self) -> str | None:
        return self.said


@dataclass
class FakeUpstreams:
    """A repository with one branch, or with a fault."""

    at: str = HEAD
    fault: Exception | None = None
    asked: list[Upstream] = field(default_factory=list)

    def head(self, upstream: Upstream) -> str:
        self.asked.append(upstream)
        if self.fault is not None:
            raise self.fault
        return self.at


@dataclass
class FakePipeline:
    """A pipeline that runs nothing: a test says how its runs end."""

    fault: Exception | None = None
    started: dict[str, str | None] = field(default_factory=dict)
    runs: dict[str, Execution] = field(default_factory=dict)

    def start(self, token: str, upstream: str | None = None) -> str:
        if self.fault is not None:
            raise self.fault
        self.started.setdefault(token, upstream)
        run = f"run-{list(self.started).index(token) + 1}"
        self.runs.setdefault(run, execution(upstream))
        return run

    def describe(self, run: str) -> Execution:
        if run not in self.runs:
            raise NotFound(f"there is no run {run}")
        return self.runs[run]

    def end(self, run: str, status: str = "Failed", **facts: Any) -> None:
        self.runs[run] = replace(self.runs[run], status=status, **facts)


@dataclass
class FakeHistory:
    """What is remembered, each thing under its key with its revision."""

    items: dict[str, Any] = field(default_factory=dict)
    saved: list[str] = field(default_factory=list)

    def watch(self) -> Watch:
        return self.items.get("upstream") or Watch()

    def commit(self, id: str) -> Commit | None:
        return self.items.get(f"commit#{id}")

    def run(self, id: str) -> Run | None:
        return self.items.get(f"run#{id}")

    def save_watch(self, value: Watch) -> Watch:
        return self._save("upstream", value)

    def save_commit(self, value: Commit) -> Commit:
        return self._save(f"commit#{value.id}", value)

    def save_run(self, value: Run) -> Run:
        return self._save(f"run#{value.run}", value)

    def _save(self, key: str, value: Any) -> Any:
        found = self.items.get(key)
        if (found.revision if found else 0) != value.revision:
            raise Conflict(f"{key} was changed meanwhile")
        self.saved.append(key)
        self.items[key] = replace(value, revision=value.revision + 1)
        return self.items[key]


@dataclass
class FakePeople:
    """People who remember what they were told."""

    told: list[tuple[str, str]] = field(default_factory=list)

    def tell(self, subject: str, text: str) -> None:
        self.told.append((subject, text))

    @property
    def subjects(self) -> list[str]:
        return [subject for subject, _ in self.told]


@dataclass
class FakeLatest:
    """Parameters, in the order in which they were set; one of them may refuse."""

    values: dict[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    refuses: str = ""

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    def put(self, name: str, value: str) -> None:
        if name == self.refuses:
            raise Conflict(f"{name} cannot be set now")
        self.order.append(name)
        self.values[name] = value


def execution(upstream: str | None = HEAD, status: str = "InProgress", **facts: Any) -> Execution:
    return Execution(
        status=status, variables={"UPSTREAM_COMMIT": upstream or "latest-good"}, source=OURS, **facts
    )


def image(letter: str = "1") -> str:
    return f"registry/atelier/webui@sha256:{letter * 64}"


def publication(**changes: str) -> PublishImage:
    """What the pipeline says of a tested image."""
    value = PublishImage(
        run="run-1",
        upstream=HEAD,
        upstream_url=URL,
        source=OURS,
        tag=f"{HEAD[:12]}-{OURS[:12]}",
        image=image(),
        size_bytes="1000000",
        startup_seconds="12.5",
    )
    return replace(value, **changes)
