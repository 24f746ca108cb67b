"""Candidates: the endpoint that shows a new model to the person who approves it, and taking it back."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

from atelier.contract.events import MODEL, Withdrawal
from atelier.lambdas.domain.training import Flow, ModelVersion
from atelier.lambdas.errors import Busy
from atelier.lambdas.ports.training import Endpoints, Flows, Registry
from atelier.lambdas.services import registry as versions

CHANGING = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack"})


def name_of(run: str, attempt: int) -> str:
    """Return the name of all that one attempt of a run creates."""
    return f"{MODEL}-{run[:8]}-{attempt}"


def remove(candidate: str, config: str, *, endpoints: Endpoints) -> None:
    """Delete the candidate endpoint if it shows *config*: it may show a later run's model already."""
    found = endpoints.get(candidate)
    if found is None or found.status == "Deleting":
        return
    if found.status in CHANGING:  # while it changes it shows one configuration and moves to another
        raise Busy(f"the endpoint {candidate} is {found.status}")
    if found.config == config:
        endpoints.delete(candidate)


def take_back(candidate: str, config: str, *, endpoints: Endpoints) -> None:
    """Delete all that one attempt created."""
    remove(candidate, config, endpoints=endpoints)
    endpoints.discard(config)


def undo(
    run: str, config: str, why: str, *, now: str, candidate: str, registry: Registry, endpoints: Endpoints
) -> None:
    """Take back a failed attempt; a version that it has recorded is rejected."""
    recorded = registry.of_run(run)
    if recorded is not None and recorded.endpoint_config == config:
        versions.reject(recorded, why, now=now, registry=registry)
    take_back(candidate, config, endpoints=endpoints)


def withdraw(
    request: Withdrawal, *, now: str, candidate: str, flows: Flows, registry: Registry, endpoints: Endpoints
) -> ModelVersion | None:
    """Take back a run that nobody will approve: stop its flow, reject its version, remove its candidate.

    A version that was approved stays: a run that is stopped after the approval has changed what serves. So
    does an attempt that began after the failure that is told of: Lambda may call late, the stage was retried.
    """
    attempts = attempts_of(request.run, flows=flows)
    later = {name: flow for name, flow in attempts.items() if request.at and flow.started > request.at}
    past = {name: flow for name, flow in attempts.items() if name not in later}
    stopped = stop(request, past, flows=flows)
    version = registry.of_run(request.run)
    if version is None or version.endpoint_config in later:
        version = None
    elif version.status in {"pending", "rejected"}:
        why = request.comment or request.reason
        version = versions.reject(version, why, now=now, registry=registry)
        stopped.append(version.endpoint_config)
    for config in stopped:
        take_back(candidate, config, endpoints=endpoints)
    return version


def attempts_of(run: str, *, flows: Flows) -> dict[str, Flow]:
    """Return the run's flows, by the name of what each may have created."""
    found: dict[str, Flow] = {}
    for attempt in count(1):
        flow = flows.get(f"{run}-{attempt}")
        if flow is None:
            break
        found[name_of(run, attempt)] = flow
    return found


def stop(request: Withdrawal, attempts: Mapping[str, Flow], *, flows: Flows) -> list[str]:
    """Stop the flow that still runs; return the names of what those that were stopped may have created.

    One that was stopped before counts: Lambda calls again when its candidate was busy then.
    """
    for flow in attempts.values():
        if flow.status == "RUNNING":
            flows.stop(flow.name, request.reason)
    return [name for name, flow in attempts.items() if flow.status in {"RUNNING", "ABORTED"}]
