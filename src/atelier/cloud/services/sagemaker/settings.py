"""How patient the local SageMaker is; AWS's own numbers unless the home says otherwise."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from atelier.cloud.context import Refused


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Seconds of patience; `sagemaker.json` in the cloud's home may set any of them."""

    training_grace: float = 120
    """From SIGTERM to SIGKILL of a training container."""

    serving_grace: float = 30
    """From SIGTERM to SIGKILL of a serving container."""

    startup_timeout: float = 600
    """Until a serving container answers /ping, for a variant that sets no time of its own."""

    startup_timeout_limit: float = 3600
    """Upper bound for what a variant sets: AWS accepts nothing under 60 s, which is long for a test."""

    ping_interval: float = 0.2
    invocation_timeout: float = 60
    drain_timeout: float = 60
    """How long an old fleet may take to finish the requests it has."""

    async_drain_timeout: float = 3600
    """The same for an asynchronous endpoint, whose requests may take so long."""

    instance_limit: int = 16
    """Instances of one type that all endpoints together may have; AWS's quotas are an account's own."""

    async_concurrency: int = 1
    """Requests that an instance of an asynchronous endpoint answers at a time, unless its configuration says
    (AWS then chooses a number of its own)."""

    request_ttl_limit: float = 21600
    """Upper bound for RequestTTLSeconds: AWS accepts nothing under 60 s, which is long for a test."""

    metrics_interval: float = 2
    """Between two reports of an endpoint's backlog and invocations to CloudWatch."""

    sync_interval: float = 3
    """Between two copies of the checkpoints to S3."""

    restart_delay: float = 0.5
    """Before a crashed serving container is started again; doubled for each crash in a row."""

    restart_delay_limit: float = 30
    shutdown_grace: float = 5
    """For containers when the cloud itself goes down."""


def load(home: Path) -> Settings:
    """Read the settings of the cloud in *home*; refuse what is no setting."""
    path = home / "sagemaker.json"
    if not path.exists():
        return Settings()
    try:
        values: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise Refused(f"{path} is not JSON: {error}") from error
    names = {each.name for each in fields(Settings)}
    if unknown := sorted(values.keys() - names):
        raise Refused(f"{path} sets {', '.join(unknown)}; it may set {', '.join(sorted(names))}")
    return Settings(**values)
