"""The job that fetches a file of a checkpoint: ``{"checkpoint": id, "source": position}``.

Called asynchronously by the function of `handlers.checkpoints`. It needs 900 seconds, 1024 MB, two retries
and an event's age of at most an hour; the permissions of its caller on table and bucket, but for Query, and
no others. It must not be in a private network.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from atelier.lambdas.bootstrap import downloads as wiring
from atelier.lambdas.services.middleware import downloads
from atelier.lambdas.services.middleware.checkpoints import World
from atelier.lambdas.services.middleware.downloads import Limits

logger = Logger()

RESERVE = 60_000
"""Milliseconds that are left to take back what has been begun."""


@logger.inject_lambda_context
def handle(event: dict[str, Any], context: Any) -> None:
    """Fetch one file; Lambda tries again when it could not come now. No log has the URL: it may be secret."""
    ports = wiring.fetching()
    keeping = ports.keeping

    def is_time_left() -> bool:
        return bool(context.get_remaining_time_in_millis() > RESERVE)

    outcome = downloads.fetch(
        str(event["checkpoint"]),
        int(event["source"]),
        world=World(checkpoints=keeping.checkpoints, uploads=keeping.uploads, folders=keeping.folders),
        web=ports.web,
        limits=Limits(largest=ports.largest, pickled=keeping.pickled, is_time_left=is_time_left),
    )
    logger.info("download", checkpoint=event["checkpoint"], source=event["source"], outcome=outcome)
