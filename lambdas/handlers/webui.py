"""What the WebUI's pipeline and its events call: start it for a push, publish an image, keep the history."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from atelier.contract.documents import load
from atelier.contract.events import pipeline_job
from atelier.contract.webui import PublishImage, pushed, run_change
from atelier.lambdas.bootstrap import webui as wiring
from atelier.lambdas.handlers.settling import now, settled
from atelier.lambdas.services.webui import changes, images, runs

logger = Logger()


@logger.inject_lambda_context
def changed(event: dict[str, Any], context: Any) -> None:
    """Start the pipeline if a push touches the image; Lambda calls again when that fails."""
    ports, push = wiring.changes(), pushed(event)
    run = changes.take(push, event["id"], differences=ports.differences, pipeline=ports.pipeline)
    logger.info("push", commit=push.new, run=run or "none: it touches nothing of the image")


@logger.inject_lambda_context
def publish(event: dict[str, Any], context: Any) -> None:
    """Make the image of a run the latest one."""
    job = pipeline_job(event)
    with settled(job.id, wiring.reports()) as outcome:
        ports = wiring.publish()
        world = images.World(latest=ports.latest, history=ports.history, people=ports.people)
        outcome.step = images.publish(load(PublishImage, job.parameters), now=now(), world=world)


@logger.inject_lambda_context
def follow(event: dict[str, Any], context: Any) -> None:
    """Write down that a run began, or ended without an image; Lambda calls again when that fails."""
    ports, change = wiring.follow(), run_change(event)
    world = runs.World(pipeline=ports.pipeline, history=ports.history, people=ports.people)
    found = runs.follow(change, world=world)
    logger.info("run", run=found.run, status=found.status, reason=found.reason)
