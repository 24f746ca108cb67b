"""News of endpoints: EventBridge says that SageMaker has changed one."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from atelier.lambdas.bootstrap import endpoints as wiring
from atelier.lambdas.handlers.clock import now
from atelier.lambdas.services.middleware import endpoints

logger = Logger()


@logger.inject_lambda_context
def handle(event: dict[str, Any], context: Any) -> None:
    """Look at the endpoint that an event names; its own words may be old by now. Lambda tries again."""
    name = str(event["detail"]["EndpointName"])
    watch = wiring.watch()
    world = endpoints.World(endpoints=watch.endpoints, fleet=watch.fleet, scaling=watch.scaling)
    seen = endpoints.refresh(name, now=now(), world=world)
    logger.info("endpoint seen", endpoint=name, status=seen and seen.status)
