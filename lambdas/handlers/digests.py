"""News of files: EventBridge says that one is in place, and its digest is computed.

A rule on ``Object Created`` of the bucket with keys under ``checkpoints/`` calls it. It needs 900 seconds and
512 MB; GetItem and PutItem on the table, GetObject on ``checkpoints/*``, and ListBucket with that prefix.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from atelier.lambdas.bootstrap import digests as wiring
from atelier.lambdas.services.middleware import digests

logger = Logger()


@logger.inject_lambda_context
def handle(event: dict[str, Any], context: Any) -> None:
    """Compute the digest of the file that an event names; Lambda tries again when that fails."""
    key = str(event["detail"]["object"]["key"])
    ports = wiring.digesting()
    digest = digests.keep(key, checkpoints=ports.checkpoints, contents=ports.contents)
    logger.info("digest", key=key, sha256=digest)
