"""Training: start the train-and-deploy flow for a run of the pipeline, and follow it to its end."""

from __future__ import annotations

import re
from dataclasses import asdict
from itertools import count

from atelier.contract.documents import Invalid, parse
from atelier.contract.events import LATEST, FlowInput, FlowResult, StartTraining
from atelier.lambdas.domain.training import Flow, Step
from atelier.lambdas.errors import Busy, Conflict, Failed, NotFound
from atelier.lambdas.ports.training import Flows, TrainingData
from atelier.lambdas.services.candidates import name_of

VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

MISSES = 30
"""How often in a row a look at the flow may miss; CodePipeline calls about twice a minute."""
MISSED = "#"
"""What stands in a token between the flow's name, empty while none is known, and the misses in a row."""


def advance(request: StartTraining, token: str | None, *, flows: Flows, data: TrainingData) -> Step:
    """Start or join the run's flow, or look after the one that *token* names, and say how far it is.

    The flow goes on while AWS is too busy to tell of it, so that is no reason to fail: the token counts it.
    """
    name, _, misses = (token or "").partition(MISSED)
    try:
        name = name or join(request, flows=flows, data=data)
        flow = flows.get(name)
    except Busy as error:
        missed = int(misses or 0) + 1
        if missed > MISSES:
            raise
        return Step(token=f"{name}{MISSED}{missed}", summary=f"looking again for the flow: {error}")
    if flow is None:
        raise NotFound(f"the flow {name} has vanished")
    if flow.status == "RUNNING":
        return Step(token=name, external_id=flow.id, summary=f"training and deploying a candidate: {name}")
    if flow.status != "SUCCEEDED":
        raise Failed(flow.reason or f"the flow {name} ended {flow.status}")
    return finished(flow)


def join(request: StartTraining, *, flows: Flows, data: TrainingData) -> str:
    """Return the name of the run's flow: the one that runs or succeeded, else a new attempt.

    CodePipeline may deliver one job twice, and a stage can be retried: the first must not train twice, the
    second must train again.
    """
    for attempt in count(1):
        name = f"{request.execution}-{attempt}"
        flow = flows.get(name)
        if flow is not None and flow.status in {"RUNNING", "SUCCEEDED"}:
            return name
        if flow is None:
            break
    try:
        flows.start(name, plan(request, attempt, data=data))
    except Conflict:  # the same job, delivered twice at once: the other one started it
        return name
    return name


def plan(request: StartTraining, attempt: int, *, data: TrainingData) -> FlowInput:
    """Write down what one attempt trains, on which data, and how all that it creates is named."""
    version, uri = resolve(request.data_version, data=data)
    return FlowInput(
        name=name_of(request.execution, attempt),
        run=request.execution,
        commit=request.commit,
        image=request.image,
        image_digest=request.image_digest,
        data_version=version,
        data_uri=uri,
    )


def resolve(wanted: str, *, data: TrainingData) -> tuple[str, str]:
    """Return the version that *wanted* stands for, and where its data lies."""
    version = data.latest() if wanted == LATEST else wanted
    if version is None:
        raise NotFound("no training data has been uploaded yet")
    if not VERSION.fullmatch(version):
        raise Invalid(f"{version!r} cannot be a version of the training data")
    uri = data.locate(version)
    if uri is None:
        raise NotFound(f"there is no training data of version {version}")
    return version, uri


def finished(flow: Flow) -> Step:
    """Hand on what the flow found out as the action's output variables."""
    result = parse(FlowResult, dict(flow.output))
    outputs = {name.upper(): value for name, value in asdict(result).items()}
    summary = f"version {result.model_version} waits for approval; {result.comparison}"
    return Step(outputs=outputs, external_id=flow.id, summary=summary)
