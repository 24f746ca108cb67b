"""The values of the training pipeline: versions of a model, and what AWS says about the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Literal

from atelier.contract.values import Value
from atelier.lambdas.errors import Conflict

Status = Literal["pending", "approved", "rejected", "retired"]

FOLLOWS: Mapping[Status, frozenset[Status]] = {
    "pending": frozenset({"approved", "rejected"}),
    "approved": frozenset({"retired"}),
    "rejected": frozenset(),
    "retired": frozenset(),
}


class ModelVersion(Value):
    """One trained model: where it came from, how good it is, and what was decided about it.

    *endpoint_config* names the endpoint configuration and the SageMaker model that serve it. A version serves
    from the moment it is *published* until it is retired.
    """

    model: str
    version: int
    run: str
    training_job: str
    endpoint_config: str
    status: Status = "pending"
    commit: str
    image: str
    image_digest: str
    data_version: str
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    comparison: str = ""
    artifact: str
    artifact_sha256: str
    created: str
    decided: str | None = None
    approver: str | None = None
    comment: str | None = None
    published: str | None = None

    @property
    def is_serving(self) -> bool:
        """Whether the stable endpoint was moved to this version and it has not been retired since."""
        return self.status == "approved" and self.published is not None

    def to(self, status: Status, **changes: Any) -> ModelVersion:
        """Return this version in *status*; refuse a step that is not allowed."""
        if status not in FOLLOWS[self.status]:
            raise Conflict(f"version {self.version} of {self.model} is {self.status}, cannot become {status}")
        return replace(self, status=status, **changes)


class Flow(Value):
    """One execution of the train-and-deploy state machine."""

    name: str
    id: str
    status: str
    output: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    started: str = ""


class Endpoint(Value):
    """A SageMaker endpoint as it is now."""

    name: str
    status: str
    config: str | None
    reason: str = ""


class Stack(Value):
    """A CloudFormation stack as it is now; *reason* is the first cause of a failure."""

    name: str
    status: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


class Approval(Value):
    """Who approved a run, and what they said."""

    approver: str | None = None
    comment: str | None = None


class Step(Value):
    """How far a pipeline action is: done when there is no *token* to go on with."""

    summary: str
    token: str | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    external_id: str | None = None
