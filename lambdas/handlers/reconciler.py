"""The clock's call: endpoints and jobs that no event has brought to an end."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from atelier.lambdas.bootstrap import reconciler as wiring
from atelier.lambdas.handlers.clock import now
from atelier.lambdas.services.middleware import endpoints, inferences, reconciler

logger = Logger()

RESERVE = 10_000
"""Milliseconds that are left for what has been begun."""


@logger.inject_lambda_context
def handle(event: dict[str, Any], context: Any) -> None:
    """Look at endpoints, then at jobs, while there is time; the next call goes on."""
    ports = wiring.reconciling()

    def is_time_left() -> bool:
        return bool(context.get_remaining_time_in_millis() > RESERVE)

    def report(name: str, error: Exception) -> None:
        logger.error("not looked after", subject=name, exc_info=error)

    watched = reconciler.watch(
        now=now(),
        world=endpoints.World(
            endpoints=ports.watch.endpoints, fleet=ports.watch.fleet, scaling=ports.watch.scaling
        ),
        is_time_left=is_time_left,
        report=report,
    )
    settled = reconciler.settle(
        now=now(),
        world=inferences.World(
            jobs=ports.taking.jobs,
            objects=ports.taking.objects,
            invocations=ports.invocations,
            endpoints=ports.watch.endpoints,
        ),
        is_time_left=is_time_left,
        report=report,
    )
    logger.info("looked after", endpoints=watched, jobs=settled)
