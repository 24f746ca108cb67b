"""Waiting for what others do, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable

from atelier.client.errors import Problem

PATIENCE = 1800.0
"""Seconds that an endpoint may take to come up, a picture to be painted, or a LoRA to be trained."""


def settle(is_so: Callable[[], bool], what: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Look until something is so; raise Problem when it takes too long."""
    start, pause = time.monotonic(), 0.2
    while not is_so():
        if time.monotonic() - start > PATIENCE:
            raise Problem(f"waited {PATIENCE / 60:.0f} minutes for {what}")
        sleep(pause)
        pause = min(pause * 1.3, 3.0)
