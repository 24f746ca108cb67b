"""Container health checks: the definition's command, run inside again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from atelier.cloud.context import RunningContainer
from atelier.cloud.services.ecs.service import refused
from atelier.cloud.services.wire import Document

RANGES = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10), "startPeriod": (0, 300)}


def check(health: Document | None) -> None:
    """Raise ServiceError for a health check that AWS does not take."""
    if health is None:
        return
    if len(health["command"]) < 2 or health["command"][0] not in ("CMD", "CMD-SHELL"):
        raise refused("A health check's command begins with CMD or CMD-SHELL, and says what to run.")
    for name, (least, most) in RANGES.items():
        if not least <= health.get(name, least) <= most:
            raise refused(f"The health check's {name} must be between {least} and {most}.")


@dataclass
class Checks:
    """The checks of one container; *say* hears HEALTHY or UNHEALTHY when that changes."""

    health: Document
    second: float
    say: Callable[[str], None]
    is_over: threading.Event

    def run(self, running: RunningContainer) -> None:
        """Check until the container ends or its task does."""
        grace_ends = time.monotonic() + self.health.get("startPeriod", 0) * self.second
        failures, status = 0, "UNKNOWN"
        while not self.is_over.wait(self.health["interval"] * self.second) and running.wait(0) is None:
            code = running.probe(self._command(), self.health["timeout"])
            is_early = status == "UNKNOWN" and time.monotonic() < grace_ends
            failures = 0 if code == 0 else failures + (not is_early)
            found = "HEALTHY" if code == 0 else "UNHEALTHY" if failures >= self.health["retries"] else status
            if found != status:
                status = found
                self.say(status)

    def _command(self) -> list[str]:
        kind, *words = self.health["command"]
        return ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words
