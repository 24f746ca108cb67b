"""What is called when a model lands, and when a deployment of the fleet ends."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from atelier.lambdas.bootstrap import fleet as wiring
from atelier.lambdas.domain.fleet import Look
from atelier.lambdas.errors import Conflict
from atelier.lambdas.handlers.clock import now
from atelier.lambdas.services import fleet

logger = Logger()

PAUSES = (5, 20, 60)
"""Seconds until what failed comes again; then the queue's own time counts, which is long."""


@logger.inject_lambda_context
def landed(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Look once for a whole batch; what that could not do comes again."""
    try:
        found = fleet.look(now=now(), world=world())
    except Conflict as error:  # another look was faster; it may have listed the bucket before this landed
        logger.info("looked", outcome="another look was faster", reason=str(error))
        return _again(event)
    except Exception:  # the obligation: nothing that landed is forgotten, whatever hinders
        logger.exception("look failed")
        return _again(event)
    _say(found, messages=len(event["Records"]))
    return {"batchItemFailures": []}


def _again(event: dict[str, Any]) -> dict[str, Any]:
    """Have a batch come again, soon at first."""
    for each in event["Records"]:
        failed = int(each["attributes"]["ApproximateReceiveCount"])
        if failed <= len(PAUSES):
            wiring.notices().bring(each["receiptHandle"], seconds=PAUSES[failed - 1])
    return {"batchItemFailures": [{"itemIdentifier": each["messageId"]} for each in event["Records"]]}


@logger.inject_lambda_context
def report(event: dict[str, Any], context: Any) -> None:
    """Settle what was tried, and tell; Lambda calls again when that fails."""
    try:
        found = fleet.settle(now=now(), world=world())
    except Conflict as error:  # a look at the same time has settled it
        logger.info("settled", outcome="another look does it", reason=str(error))
        return
    _say(found, event=event.get("detail", {}).get("eventName", ""))


def world() -> fleet.World:
    """Return what looks work with."""
    ports = wiring.fleet()
    return fleet.World(
        bucket=ports.bucket,
        parameter=ports.parameter,
        service=ports.service,
        memory=ports.memory,
        people=ports.people,
        patience=ports.patience,
    )


def _say(found: Look, **more: Any) -> None:
    logger.info("looked", outcome=found.outcome, summary=found.summary, landing=found.landing, **more)
