"""What SageMaker says of asynchronous requests: its notices come from the topics through a queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from aws_lambda_powertools import Logger

from atelier.lambdas.bootstrap import results as wiring
from atelier.lambdas.domain.inferences import Result
from atelier.lambdas.handlers.clock import now
from atelier.lambdas.services.middleware import results

logger = Logger()

PAUSES = (5, 20, 60)
"""Seconds until a notice comes again after each of its first failures; then the queue's own time counts.

That is long, since it must be longer than the function may take; and someone waits for a picture.
"""


@logger.inject_lambda_context
def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Take each notice; the queue brings again those that are named as failures, then sets them aside."""
    failures = [each for each in event["Records"] if not _is_taken(each)]
    for each in failures:
        _bring_soon(each)
    return {"batchItemFailures": [{"itemIdentifier": each["messageId"]} for each in failures]}


def _bring_soon(record: Mapping[str, Any]) -> None:
    failed = int(record["attributes"]["ApproximateReceiveCount"])
    if failed <= len(PAUSES):
        wiring.notices().bring(record["receiptHandle"], seconds=PAUSES[failed - 1])


def _is_taken(record: Mapping[str, Any]) -> bool:
    try:
        result = read(record["body"])
        if result is not None:
            ports = wiring.taking()
            results.take(result, now=now(), jobs=ports.jobs, objects=ports.objects)
    except Exception:  # the obligation: each notice is taken or brought again, whatever becomes of the others
        logger.exception("notice not taken", notice=record["messageId"])
        return False
    logger.info("notice taken", notice=record["messageId"], inference=result and result.id)
    return True


def read(body: str) -> Result | None:
    """Read a notice in its envelope; None when it is of no job of ours."""
    notice = json.loads(json.loads(body)["Message"])
    if not _is_uuid(id := str(notice.get("inferenceId") or "")):
        return None
    is_done = notice["invocationStatus"] == "Completed"
    answered = notice.get("responseParameters") or {}
    return Result(
        id=id,
        output=str(answered["outputLocation"]) if is_done else "",
        failure=str(answered.get("failureLocation") or ""),
        reason=str(notice.get("failureReason") or ""),
    )


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
