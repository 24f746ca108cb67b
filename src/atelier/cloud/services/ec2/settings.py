"""What a home may set of its EC2: ``ec2.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

from atelier.cloud.context import Refused


@dataclass(frozen=True)
class Settings:
    """How many instances may run at once, and how long one may take to end."""

    instances: int = 4
    grace: float = 20.0


def load(home: Path) -> Settings:
    """Return the home's settings; raise Refused for what is none."""
    path = home / "ec2.json"
    if not path.exists():
        return Settings()
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        if odd := sorted(given.keys() - {each.name for each in fields(Settings)}):
            raise Refused(f"{path}: there is no setting {odd[0]}")
        return Settings(
            instances=int(given.get("instances", Settings.instances)),
            grace=float(given.get("grace", Settings.grace)),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise Refused(f"{path} does not hold the settings of EC2: {error}") from error
