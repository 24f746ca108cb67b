"""What the training pipeline and the serving API need of the world; adapters and fakes implement it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from atelier.contract.events import FlowInput
from atelier.lambdas.domain.training import Approval, Endpoint, Flow, ModelVersion, Stack, Step


class Flows(Protocol):
    """Executions of the train-and-deploy state machine; all raise Busy for what may succeed later."""

    def get(self, name: str) -> Flow | None:
        """Return the execution of that name, if there is one."""
        ...

    def start(self, name: str, value: FlowInput) -> None:
        """Start an execution; raise Conflict when there is one of that name."""
        ...

    def stop(self, name: str, why: str) -> None:
        """Stop an execution that still runs."""
        ...


class TrainingData(Protocol):
    """The versions of the training data."""

    def latest(self) -> str | None:
        """Return the version that the pointer names."""
        ...

    def locate(self, version: str) -> str | None:
        """Return where the data of that version lies, if there is any."""
        ...


class Registry(Protocol):
    """The versions of a model, with conditional moves."""

    def record(self, draft: ModelVersion) -> ModelVersion:
        """Give *draft* the next number and keep it; a second record of the same job returns the first."""
        ...

    def get(self, version: int) -> ModelVersion:
        """Return a version; raise NotFound."""
        ...

    def of_run(self, run: str) -> ModelVersion | None:
        """Return what a run recorded last."""
        ...

    def newest_first(self) -> Iterator[ModelVersion]:
        """Return every version."""
        ...

    def save(self, version: ModelVersion, *, was: ModelVersion) -> None:
        """Replace *was*; raise Conflict when another writer came first."""
        ...


class Endpoints(Protocol):
    """Endpoints, their configurations and models."""

    def get(self, name: str) -> Endpoint | None:
        """Return the endpoint, if there is one."""
        ...

    def create(self, name: str, config: str) -> None:
        """Create an endpoint."""
        ...

    def update(self, name: str, config: str) -> None:
        """Move an endpoint to another configuration; it serves all the while."""
        ...

    def delete(self, name: str) -> None:
        """Delete an endpoint; none is fine; raise Busy while it changes."""
        ...

    def discard(self, config: str) -> None:
        """Delete an endpoint configuration and the model of the same name; none is fine."""
        ...


class Prompts(Protocol):
    """A model that answers prompts."""

    def complete(self, endpoint: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a request; raise Invalid for one that the model refuses, Busy for one too many."""
        ...


class Feed(Protocol):
    """Where the models of the serving fleet land."""

    def land(self, name: str, artifact: str, sha256: str) -> None:
        """Let an artefact land under a name, unless it did so last; raise Failed if it cannot."""
        ...


class Stacks(Protocol):
    """CloudFormation stacks."""

    def get(self, name: str) -> Stack | None:
        """Return the stack, if there is one."""
        ...

    def apply(self, name: str, template_key: str, parameters: Mapping[str, str]) -> bool:
        """Begin to create or update a stack; False when there is nothing to change."""
        ...

    def delete(self, name: str) -> None:
        """Begin to delete a stack."""
        ...


class Approvals(Protocol):
    """What people said in a pipeline."""

    def of(self, pipeline: str, execution: str, action: str) -> Approval:
        """Return the approval of a run."""
        ...


class Artifacts(Protocol):
    """Model artefacts."""

    def sha256(self, uri: str) -> str:
        """Return the digest of an artefact."""
        ...


class Reports(Protocol):
    """CodePipeline's ear: how a job ended, or that it goes on."""

    def success(self, job: str, step: Step) -> None:
        """Report that the job is done, or goes on when the step has a token; Conflict: reported before."""
        ...

    def failure(self, job: str, message: str) -> None:
        """Report that the job failed; Conflict: reported before."""
        ...
