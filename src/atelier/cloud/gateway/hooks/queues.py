"""SQS's queues, as their metrics tell of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from atelier.cloud.gateway.hooks.private import use

SQS = "services.sqs"
VISIBLE, HIDDEN, DELAYED = (
    f"ApproximateNumberOfMessages{each}" for each in ("Visible", "NotVisible", "Delayed")
)


def install() -> None:
    """Check what this module builds on."""
    use(SQS, "_queues", checked=False)


def counts() -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each queue of this account and region by name, with how many messages it holds, by metric.

    It only looks: another thread may be sending.
    """
    now = time.time()
    for queue in list(use(SQS, "_queues", checked=False).values()):
        found = Counter(_metric(each, now) for each in list(queue["messages"]))
        yield queue["name"], {name: found[name] for name in (VISIBLE, HIDDEN, DELAYED)}


def _metric(message: Mapping[str, Any], now: float) -> str:
    if message["visible_at"] <= now:
        return VISIBLE
    return HIDDEN if message["receive_count"] else DELAYED
