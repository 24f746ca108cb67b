"""The functions that the training pipeline calls, and the one that takes back what nobody will approve."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger

from atelier.contract.documents import Invalid, load
from atelier.contract.events import PublishModel, RegisterModel, StartTraining, pipeline_job, withdrawal
from atelier.lambdas.bootstrap import training as bootstrap
from atelier.lambdas.domain.training import Step
from atelier.lambdas.errors import Conflict, ServiceError
from atelier.lambdas.ports.training import Reports
from atelier.lambdas.services import candidates, publishing, registry, training

logger = Logger()


@dataclass
class Outcome:
    """What the body of `settled` found out."""

    step: Step | None = None


@contextmanager
def settled(job: str, reports: Reports) -> Iterator[Outcome]:
    """Report the pipeline job exactly once, whatever happens inside.

    It does not raise after a report: CodePipeline calls asynchronously, and Lambda would call again and
    report again. A report that did not get through is raised, so that Lambda does.
    """
    outcome = Outcome()
    try:
        yield outcome
    except Exception as error:  # the obligation: every failure becomes a report
        logger.exception("pipeline job failed")
        with once():
            reports.failure(job, in_words(error))
    else:
        with once():
            reports.success(job, outcome.step or Step(summary="done"))


@contextmanager
def once() -> Iterator[None]:
    """Let a report of a job that was settled before pass: Lambda may deliver one call twice."""
    try:
        yield
    except Conflict as error:
        logger.warning("not reported again", reason=str(error))


def in_words(error: Exception) -> str:
    """Return what a person should read: foreseen failures speak for themselves."""
    if isinstance(error, ServiceError | Invalid):
        return str(error)
    return f"{type(error).__name__}: {error}"


def now() -> str:
    """Return the time, as the registry keeps it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@logger.inject_lambda_context
def start_flow(event: dict[str, Any], context: Any) -> None:
    """Start or join the run's flow, or look how far it is."""
    job = pipeline_job(event)
    with settled(job.id, bootstrap.reports()) as outcome:
        ports = bootstrap.start_flow()
        request = load(StartTraining, job.parameters)
        outcome.step = training.advance(request, job.token, flows=ports.flows, data=ports.data)


@logger.inject_lambda_context
def register(event: dict[str, Any], context: Any) -> None:
    """Mark the version of the run approved."""
    job = pipeline_job(event)
    with settled(job.id, bootstrap.reports()) as outcome:
        ports = bootstrap.register()
        request = load(RegisterModel, job.parameters)
        approval = ports.approvals.of(ports.pipeline, request.execution, request.approval)
        version = registry.approve(
            registry.number(request.version), approval, now=now(), registry=ports.registry
        )
        outcome.step = Step(
            summary=f"version {version.version} is approved",
            outputs={"MODEL_VERSION": str(version.version), "MODEL_STATUS": version.status},
        )


@logger.inject_lambda_context
def publish(event: dict[str, Any], context: Any) -> None:
    """Take the next step of publishing the approved version."""
    job = pipeline_job(event)
    with settled(job.id, bootstrap.reports()) as outcome:
        ports = bootstrap.publish()
        outcome.step = publishing.advance(
            load(PublishModel, job.parameters),
            job.token,
            now=now(),
            targets=publishing.Targets(
                stable=ports.stable, candidate=ports.candidate, stack=ports.stack, parameters=ports.parameters
            ),
            registry=ports.registry,
            endpoints=ports.endpoints,
            stacks=ports.stacks,
        )


@logger.inject_lambda_context
def reject(event: dict[str, Any], context: Any) -> None:
    """Take back a run that failed by its approval or ended before it; EventBridge calls, Lambda retries."""
    ports = bootstrap.reject()
    request = withdrawal(event)
    version = candidates.withdraw(
        request,
        now=now(),
        candidate=ports.candidate,
        flows=ports.flows,
        registry=ports.registry,
        endpoints=ports.endpoints,
    )
    logger.info("run withdrawn", run=request.run, reason=request.reason, version=version and version.version)
