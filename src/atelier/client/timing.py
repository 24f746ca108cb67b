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


def of(clients: Clients, execution: Execution, *, candidate: float = 0.0) -> dict[str, float]:
    """Return the seconds of every stage, of the model's own work in them, and of what the pipeline added.

    *candidate* is what the candidate endpoint took to come up: when the run has ended, it is gone. What is
    not the pipeline's own overhead would take as long without a pipeline: the build, the training job, the
    endpoints, and the person.
    """
    model = {
        "training": _trained(clients, execution),
        "endpoints": candidate + sum(endpoint(clients, each) for each in execution.actions),
    }
    others = sum(
        each.seconds for each in execution.actions if each.provider == "CodeBuild" or each.is_approval
    )
    whole = _between(execution.actions)
    overhead = max(0.0, whole - others - sum(model.values()))
    return {**dict(stages(execution)), **model, "overhead": overhead}


def stages(execution: Execution) -> Iterator[tuple[str, float]]:
    """Yield every stage that has begun, with its seconds."""
    for stage in dict.fromkeys(each.stage for each in execution.actions):
        actions = [each for each in execution.actions if each.stage == stage and each.started]
        if actions:
            yield stage, _between(tuple(actions))


def endpoint(clients: Clients, action: Action) -> float:
    """Return the seconds in which the endpoint of *action* came up or moved; 0 when it has none now."""
    name = action.variables.get("ENDPOINT")
    if name is None or action.started is None:
        return 0.0
    try:
        found = clients.sagemaker.describe_endpoint(EndpointName=name)
    except ClientError:
        return 0.0
    if found["EndpointStatus"] != "InService":
        return 0.0
    moved = training.span(max(found["CreationTime"], action.started), found["LastModifiedTime"])
    return min(max(moved or 0.0, 0.0), action.seconds)


def _trained(clients: Clients, execution: Execution) -> float:
    job = execution.outputs.get("TRAINING_JOB")
    return (training.seconds(clients, job) or 0.0) if job else 0.0


def _between(actions: tuple[Action, ...]) -> float:
    spans = [
        (each.started, each.started + timedelta(seconds=each.seconds)) for each in actions if each.started
    ]
    if not spans:
        return 0.0
    return (max(end for _, end in spans) - min(start for start, _ in spans)).total_seconds()
