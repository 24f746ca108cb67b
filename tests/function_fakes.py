"""Fakes of the functions' ports, and the values that their tests begin with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from atelier.contract.events import (
    BITS_PER_BYTE,
    PERPLEXITY,
    PERPLEXITY_BEFORE,
    FlowInput,
    FlowResult,
    Judgement,
    StartTraining,
    Training,
)
from atelier.lambdas.domain.training import Approval, Endpoint, Flow, ModelVersion, Stack, Step
from atelier.lambdas.errors import Busy, Conflict, NotFound

RUN = "1a2b3c4d-0000-4000-8000-000000000000"
NOW = "2001-01-01T00:00:00+00:00"
LATER = "2001-01-02T00:00:00+00:00"


def version(number: int = 1, **changes: Any) -> ModelVersion:
    """A pending version of the run."""
    value = ModelVersion(
        model="gpt-neo",
        version=number,
        run=RUN,
        training_job=f"gpt-neo-1a2b3c4d-{number}-0",
        endpoint_config=f"gpt-neo-1a2b3c4d-{number}",
        commit="c0ffee",
        image="registry/gpt-neo@sha256:11",
        image_digest="sha256:11",
        data_version="d1",
        hyperparameters={"steps": "240"},
        metrics=metrics(),
        artifact="s3://data/models/model.tar.gz",
        artifact_sha256="ab",
        created=NOW,
    )
    return replace(value, **changes)


def metrics(bits: float = 2.5, after: float = 300.0, before: float = 2000.0) -> dict[str, float]:
    return {BITS_PER_BYTE: bits, PERPLEXITY: after, PERPLEXITY_BEFORE: before}


def training(**changes: Any) -> Training:
    """A completed training job."""
    value = Training(
        job="gpt-neo-1a2b3c4d-1-0",
        status="Completed",
        artifact="s3://data/models/model.tar.gz",
        metrics=metrics(),
        hyperparameters={"steps": "240"},
        seconds=60,
    )
    return replace(value, **changes)


def judgement() -> Judgement:
    return Judgement(
        bits_per_byte=2.5, perplexity=300.0, perplexity_before=2000.0, comparison="the first version"
    )


def flow_input(**changes: Any) -> FlowInput:
    value = FlowInput(
        name="gpt-neo-1a2b3c4d-1",
        run=RUN,
        commit="c0ffee",
        image="registry/gpt-neo@sha256:11",
        image_digest="sha256:11",
        data_version="d1",
        data_uri="s3://data/data/d1/",
    )
    return replace(value, **changes)


def start_training(**changes: Any) -> StartTraining:
    value = StartTraining(
        execution=RUN,
        commit="c0ffee",
        image="registry/gpt-neo@sha256:11",
        image_digest="sha256:11",
        data_version="latest",
    )
    return replace(value, **changes)


def flow_result(**changes: Any) -> FlowResult:
    value = FlowResult(
        model_version="1",
        perplexity_before="2000.00",
        perplexity="300.00",
        bits_per_byte="2.5000",
        comparison="the first version",
        commit="c0ffee",
        data_version="d1",
        image_digest="sha256:11",
        training_job="gpt-neo-1a2b3c4d-1-0",
        endpoint="atelier-candidate",
    )
    return replace(value, **changes)


@dataclass
class FakeFlows:
    """Executions by name."""

    flows: dict[str, Flow] = field(default_factory=dict)
    inputs: dict[str, FlowInput] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    overtaken: bool = False
    busy: bool = False

    def get(self, name: str) -> Flow | None:
        if self.busy:
            raise Busy("Step Functions is too busy, try again")
        return self.flows.get(name)

    def start(self, name: str, value: FlowInput) -> None:
        self.set(name, "RUNNING")
        if self.overtaken:
            raise Conflict(f"{name} was started before")
        self.inputs[name] = value

    def stop(self, name: str, why: str) -> None:
        self.stopped.append(name)
        self.set(name, "ABORTED", reason=why)

    def set(self, name: str, status: str, **more: Any) -> None:
        self.flows[name] = Flow(name=name, id=f"arn:{name}", status=status, **more)


@dataclass
class FakeData:
    """Versions that there are."""

    versions: tuple[str, ...] = ("d1",)
    pointer: str | None = "d1"

    def latest(self) -> str | None:
        return self.pointer

    def locate(self, version: str) -> str | None:
        return f"s3://data/data/{version}/" if version in self.versions else None


class FakeRegistry:
    """Versions by number; `overtake` changes one behind the next writer's back."""

    def __init__(self, *versions: ModelVersion) -> None:
        self.versions = {each.version: each for each in versions}
        self.overtake: ModelVersion | None = None

    def record(self, draft: ModelVersion) -> ModelVersion:
        for each in self.versions.values():
            if each.training_job == draft.training_job:
                return each
        kept = replace(draft, version=max(self.versions, default=0) + 1)
        self.versions[kept.version] = kept
        return kept

    def get(self, version: int) -> ModelVersion:
        if version not in self.versions:
            raise NotFound(f"there is no version {version}")
        return self.versions[version]

    def of_run(self, run: str) -> ModelVersion | None:
        return next((each for each in self.newest_first() if each.run == run), None)

    def newest_first(self) -> Iterator[ModelVersion]:
        return iter([self.versions[number] for number in sorted(self.versions, reverse=True)])

    def save(self, version: ModelVersion, *, was: ModelVersion) -> None:
        if self.overtake is not None:
            self.versions[self.overtake.version], self.overtake = self.overtake, None
        if self.versions[was.version] != was:
            raise Conflict(f"version {was.version} is not {was.status} any more")
        self.versions[version.version] = version


@dataclass
class FakeEndpoints:
    """Endpoints by name; what is begun takes one look to be done."""

    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    fate: str = "InService"
    busy: bool = False

    def get(self, name: str) -> Endpoint | None:
        return self.endpoints.get(name)

    def create(self, name: str, config: str) -> None:
        self.done.append(f"create {name} {config}")
        self.set(name, "Creating", config)

    def update(self, name: str, config: str) -> None:
        self.done.append(f"update {name} {config}")
        self.endpoints[name] = replace(self.endpoints[name], status="Updating")

    def delete(self, name: str) -> None:
        if self.busy:
            raise Busy(f"{name} is changing")
        self.done.append(f"delete {name}")
        self.endpoints.pop(name, None)

    def discard(self, config: str) -> None:
        self.done.append(f"discard {config}")

    def set(self, name: str, status: str, config: str, reason: str = "") -> None:
        self.endpoints[name] = Endpoint(name=name, status=status, config=config, reason=reason)


@dataclass
class FakeStacks:
    """Stacks by name; a change begins, and the test says how it ends."""

    stacks: dict[str, Stack] = field(default_factory=dict)
    applied: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    changes: bool = True

    def get(self, name: str) -> Stack | None:
        return self.stacks.get(name)

    def apply(self, name: str, template_key: str, parameters: Mapping[str, str]) -> bool:
        self.applied.append((name, template_key, parameters))
        if self.changes:
            self.set(name, "UPDATE_IN_PROGRESS" if name in self.stacks else "CREATE_IN_PROGRESS")
        return self.changes

    def delete(self, name: str) -> None:
        self.deleted.append(name)
        self.stacks.pop(name)

    def set(self, name: str, status: str, reason: str = "") -> None:
        outputs = {"ApiUrl": "https://api", "ApiId": "api1"}
        self.stacks[name] = Stack(name=name, status=status, outputs=outputs, reason=reason)


@dataclass
class FakePrompts:
    """Answers everything with `answer`, or raises it."""

    answer: Any = None
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def complete(self, endpoint: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append((endpoint, request))
        if isinstance(self.answer, Exception):
            raise self.answer
        return dict(self.answer)


@dataclass
class FakeReports:
    """Keeps what was reported of jobs; a job that is settled takes no second report."""

    successes: list[tuple[str, Step]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    error: Exception | None = None

    def success(self, job: str, step: Step) -> None:
        if self.error:
            raise self.error
        self.successes.append((job, step))

    def failure(self, job: str, message: str) -> None:
        if self.error:
            raise self.error
        self.failures.append((job, message))


@dataclass
class FakeApprovals:
    """One approval for all."""

    approval: Approval = field(default_factory=Approval)

    def of(self, pipeline: str, execution: str, action: str) -> Approval:
        return self.approval


@dataclass
class FakeArtifacts:
    """One digest for all."""

    digest: str = "ab"

    def sha256(self, uri: str) -> str:
        return self.digest
