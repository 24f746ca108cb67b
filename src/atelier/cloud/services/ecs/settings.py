"""How patient the local ECS is; AWS's own numbers unless the home says otherwise."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from atelier.cloud.context import Refused


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`ecs.json` in the cloud's home may set any of them."""

    interval: float = 0.5
    """Seconds between two looks at the services."""

    tasks: int = 20
    """Tasks that may be there at once; AWS's quota on vCPUs is an account's own."""

    stop_timeout: float = 30
    """Seconds from SIGTERM to SIGKILL, for a container that says nothing of it."""

    drain_limit: float = 300
    """Seconds that a stopping task waits at most for its load balancer to let go of it."""

    second: float = 1
    """Seconds that a second of a container health check's interval lasts here."""

    settle: float = 1
    """Seconds for which a task must run to count as healthy, when nothing else checks it."""

    stabilise_timeout: float = 10800
    """Seconds in which CloudFormation wants a service to be steady."""

    restart_delay: float = 1
    """Seconds before a task that failed is replaced; doubled for each failure in a row, as AWS throttles."""

    restart_delay_limit: float = 30

    metrics_interval: float = 5
    """Between two reports of what tasks use to CloudWatch."""

    shutdown_grace: float = 3
    """For containers when the cloud itself goes down."""


def load(home: Path) -> Settings:
    """Read the settings of the cloud in *home*; refuse what is no setting."""
    path = home / "ecs.json"
    if not path.exists():
        return Settings()
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Refused(f"{path} is not JSON: {error}") from error
    names = {each.name for each in fields(Settings)}
    if unknown := sorted(values.keys() - names):
        raise Refused(f"{path} sets {', '.join(unknown)}; it may set {', '.join(sorted(names))}")
    return Settings(**values)
