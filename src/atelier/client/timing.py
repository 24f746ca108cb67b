"""Where the time of a run went: its stages, what the model itself took, and what the pipeline added."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atelier.client import training
from atelier.client.pipelines import Action, Execution

if TYPE_CHECKING:
    from atelier.client.session import Clients

WORK = ("build", "training", "endpoints", "approval")
"""What is not the pipeline's own overhead: it would take as long without a pipeline."""


def of(clients: Clients, execution: Execution) -> dict[str, float]:
    """Return the seconds of every stage, of the work inside, and of what the pipeline added to it."""
    work = {name: seconds for name, seconds in _work(clients, execution) if seconds}
    whole = _between(execution.actions)
    return {
        **dict(stages(execution)),
        **work,
        "run": whole,
        "overhead": max(0.0, whole - sum(work.values())),
    }


def stages(execution: Execution) -> Iterator[tuple[str, float]]:
    """Yield every stage that has begun, with its seconds."""
    for stage in dict.fromkeys(each.stage for each in execution.actions):
        actions = [each for each in execution.actions if each.stage == stage and each.started]
        if actions:
            yield stage, _between(tuple(actions))


def _between(actions: tuple[Action, ...]) -> float:
    begun = [each for each in actions if each.started]
    start = min((each.started for each in begun if each.started), default=None)
    end = max(
        (each.started + timedelta(seconds=each.seconds) for each in begun if each.started), default=None
    )
    return training.span(start, end) or 0.0


def _work(clients: Clients, execution: Execution) -> Iterator[tuple[str, float | None]]:
    outputs = execution.outputs
    yield "build", sum(each.seconds for each in execution.actions if each.provider == "CodeBuild")
    if "TRAINING_JOB" in outputs:
        yield "training", training.seconds(clients, outputs["TRAINING_JOB"])
    yield "endpoints", sum(_endpoints(clients, execution))
    yield "approval", sum(each.seconds for each in execution.actions if each.is_approval)


def _endpoints(clients: Clients, execution: Execution) -> Iterator[float]:
    """Yield what the stable endpoint took to come up or to move in this run."""
    for action in execution.actions:
        name = action.variables.get("ENDPOINT")
        if name is None or action.started is None:
            continue
        try:
            found = clients.sagemaker.describe_endpoint(EndpointName=name)
        except ClientError:  # the candidate is gone by then
            continue
        moved = training.span(max(found["CreationTime"], action.started), found["LastModifiedTime"])
        yield min(max(moved or 0.0, 0.0), action.seconds)
