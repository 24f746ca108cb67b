"""The steps of the state machine that sees trainings, merges and crops through."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from atelier.lambdas.bootstrap import work as wiring
from atelier.lambdas.domain.work import Work
from atelier.lambdas.handlers.clock import now
from atelier.lambdas.handlers.worlds import world
from atelier.lambdas.services.middleware import work

logger = Logger()

LONGEST_REASON = 1024


@logger.inject_lambda_context
def begin(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Say that work has begun; Conflict ends an execution whose work has ended before."""
    return told(work.begin(str(event["id"]), world=world(wiring.keeping())))


@logger.inject_lambda_context
def finish(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Let what was made be used."""
    return told(work.finish(str(event["id"]), now=now(), world=world(wiring.keeping())))


@logger.inject_lambda_context
def fail(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Say that work has failed, and why."""
    failed = work.fail(str(event["id"]), event["failure"], now=now(), world=world(wiring.keeping()))
    if failed is None:
        return {"status": "Stopped", "message": "it was deleted", "reason": "it was deleted"}
    return told(failed)


def told(found: Work) -> dict[str, str]:
    """Return what the state machine, and who listens to its topics, is told."""
    about = f"{found.word.capitalize()} {found.name} of {found.creator} ({found.id})"
    reason = found.error or f"it is {found.status}"
    ended = f": {found.error}" if found.error else ""
    return {
        "status": found.status,
        "message": f"{about} is {found.status}{ended}",
        "reason": reason[:LONGEST_REASON],
    }
