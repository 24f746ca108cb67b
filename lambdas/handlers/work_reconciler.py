"""The clock's call: work whose state machine has ended, or never begun, without saying so."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from atelier.lambdas.bootstrap import work as wiring
from atelier.lambdas.handlers.clock import now
from atelier.lambdas.handlers.worlds import world
from atelier.lambdas.services.middleware import work

logger = Logger()

RESERVE = 10_000
"""Milliseconds that are left for what has been begun."""


@logger.inject_lambda_context
def handle(event: dict[str, Any], context: Any) -> None:
    """Look at all work that has not ended, while there is time."""
    ports = wiring.running()
    place = world(ports.keeping)
    for each in place.works.running():
        if context.get_remaining_time_in_millis() < RESERVE:
            break
        try:
            work.settle(each, now=now(), world=place, executions=ports.executions)
        except Exception:  # the obligation: the others are looked after, and this is told
            logger.exception("not looked after", work=each.id)
