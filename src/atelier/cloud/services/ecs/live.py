"""What runs at this moment, by cloud: the tasks' runs, their agent, and the scheduler."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecs.agent import Agent
from atelier.cloud.services.ecs.settings import Settings, load

if TYPE_CHECKING:
    from atelier.cloud.services.ecs.run import Run


@dataclass
class Live:
    """The processes' side of what the store records."""

    settings: Settings
    agent: Agent
    runs: dict[str, Run] = field(default_factory=dict)
    changing: threading.RLock = field(default_factory=threading.RLock)
    """Held by whoever changes a service; never the store's own lock, which others need meanwhile."""
    ending: threading.Event = field(default_factory=threading.Event)
    changed: threading.Event = field(default_factory=threading.Event)
    """Set when the scheduler should look now, and not at its next turn."""
    threads: list[threading.Thread] = field(default_factory=list)


_clouds: dict[Path, Live] = {}
_lock = threading.Lock()


def of(cloud: Cloud) -> Live:
    """Return what runs in this cloud."""
    with _lock:
        if cloud.home not in _clouds:
            _clouds[cloud.home] = Live(load(cloud.home), Agent(cloud))
        return _clouds[cloud.home]


def forget(cloud: Cloud) -> Live | None:
    """Return what runs in this cloud for the last time."""
    with _lock:
        return _clouds.pop(cloud.home, None)
