"""The clock's call: look whether upstream has moved."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from atelier.lambdas.bootstrap import upstream as wiring
from atelier.lambdas.handlers.settling import now
from atelier.lambdas.services.webui import tracking

logger = Logger()


@logger.inject_lambda_context
def track(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Look once, and say what it came to: a person may call as the clock does."""
    ports = wiring.track()
    found = tracking.look(
        now=now(),
        world=tracking.World(
            declarations=ports.declarations,
            upstreams=ports.upstreams,
            pipeline=ports.pipeline,
            history=ports.history,
            people=ports.people,
        ),
    )
    document = found.as_document()
    logger.info("looked", **document)
    return document
