"""The functions that the training pipeline calls, and the one that takes back what nobody will approve."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from atelier.contract.documents import load
from atelier.contract.events import PublishModel, RegisterModel, StartTraining, pipeline_job, withdrawal
from atelier.lambdas.bootstrap import training as bootstrap
from atelier.lambdas.domain.training import Step
from atelier.lambdas.handlers.settling import now, settled
from atelier.lambdas.services import candidates, publishing, registry, training

logger = Logger()


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
            feed=ports.feed,
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
