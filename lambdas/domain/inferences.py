"""Inferences: pieces of generation work, from parameters to pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from atelier.contract import keys
from atelier.contract.api.endpoints import EndpointType
from atelier.contract.values import Value
from atelier.lambdas.errors import Conflict

Status = Literal["created", "inprogress", "succeeded", "failed", "cancelled"]

FOLLOWS: Mapping[Status, frozenset[Status]] = {
    "created": frozenset({"inprogress", "failed", "cancelled"}),
    "inprogress": frozenset({"created", "succeeded", "failed", "cancelled"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}
"""A job goes back to created when its endpoint did not take it: it can be started again."""


class Model(Value):
    """A checkpoint that a job needs: where its one file lies, and its digest when that is known."""

    id: str
    type: str
    name: str
    s3: str
    sha256: str | None = None


class Runner(Value):
    """The endpoint on which a job runs, as it was when the job was made."""

    id: str
    name: str
    instance_type: str


class Sent(Value):
    """Where SageMaker will put the answer to an asynchronous request, or the reason why there is none."""

    output: str
    failure: str = ""


class Result(Value):
    """What SageMaker tells of an asynchronous request; *output* is where the answer lies, if there is one."""

    id: str
    output: str = ""
    failure: str = ""
    reason: str = ""


class Inference(Value):
    """One piece of generation work of a user."""

    id: str
    task: str
    kind: EndpointType
    user: str
    created: str
    status: Status = "created"
    runner: Runner
    models: tuple[Model, ...] = ()
    workflow: str = ""
    started: str = ""
    completed: str = ""
    images: tuple[str, ...] = ()
    sent: Sent | None = None
    attempts: int = 0
    error: str = ""
    version: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether nothing can happen to the job any more."""
        return not FOLLOWS[self.status]

    def to(self, status: Status, **changes: Any) -> Inference:
        """Return this job in *status*; refuse a step that is not allowed."""
        if status not in FOLLOWS[self.status]:
            raise Conflict(f"inference {self.id} is {self.status}, cannot become {status}")
        return replace(self, status=status, **changes)

    def failed(self, why: str, now: str) -> Inference:
        """Return this job as one that came to nothing."""
        return self.to("failed", completed=now, error=why[:1024])

    def body(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the container is asked."""
        models: dict[str, list[dict[str, str | None]]] = {}
        for each in self.models:
            entry = {"name": each.name, "s3": each.s3, "sha256": each.sha256}
            models.setdefault(each.type, []).append(entry)
        return {"id": self.id, "task_type": self.task, "models": models, "params": params}

    @property
    def folder(self) -> str:
        """Where all that belongs to the job lies."""
        return f"{keys.INFERENCES}{self.id}/"

    @property
    def params_key(self) -> str:
        """What the client uploads."""
        return f"{self.folder}api_params.json"

    @property
    def input_key(self) -> str:
        """What the container is asked; the client cannot change it after the start."""
        return f"{self.folder}input.json"

    @property
    def output_key(self) -> str:
        """What the container said beside the pictures."""
        return f"{results_folder(self.id)}{self.id}_param.json"

    def image_key(self, name: str) -> str:
        """Return where a picture lies."""
        return f"{results_folder(self.id)}{name}"


def results_folder(id: str) -> str:
    """Return where the results of a job lie, or lay."""
    return f"{keys.INFERENCES}{id}/results/"
