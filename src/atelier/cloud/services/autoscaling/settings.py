"""How fast time passes for Auto Scaling here; AWS's own pace unless the home says otherwise."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from atelier.cloud.context import Refused


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`autoscaling.json` in the cloud's home may set any of them."""

    interval: float = 1.0
    """Seconds between two looks at alarms, policies and endpoints."""

    minute: float = 60.0
    """Seconds that a minute of an alarm's period and of a cooldown lasts here. At 4, scale-in after AWS's
    quarter of an hour takes one minute; it should stay above twice SageMaker's `metrics_interval`."""

    def lasting(self, seconds: float) -> float:
        """Return how long *seconds* of a period or a cooldown last here."""
        return seconds * self.minute / 60


def load(home: Path) -> Settings:
    """Read the settings of the cloud in *home*; refuse what is no setting."""
    path = home / "autoscaling.json"
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
