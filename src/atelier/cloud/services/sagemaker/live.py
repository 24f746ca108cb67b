"""What runs at this moment, by cloud: training runs and endpoints' fleets."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from atelier.cloud.context import Cloud
from atelier.cloud.services.sagemaker.settings import Settings, load

if TYPE_CHECKING:
    from atelier.cloud.services.sagemaker.backlogs import Backlog
    from atelier.cloud.services.sagemaker.fleet import Fleet
    from atelier.cloud.services.sagemaker.run import Run

CALLERS = 256
"""Threads that wait for containers' answers: they are many, idle, and made only when needed."""


@dataclass
class Live:
    """The processes' side of what the store records."""

    settings: Settings
    runs: dict[str, Run] = field(default_factory=dict)
    fleets: dict[str, Fleet] = field(default_factory=dict)
    opening: dict[str, Fleet] = field(default_factory=dict)
    backlogs: dict[str, Backlog] = field(default_factory=dict)
    invocations: Counter[str] = field(default_factory=Counter)
    """How often each endpoint was invoked since that was last reported."""
    threads: list[threading.Thread] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)
    callers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(CALLERS, thread_name_prefix="invoke")
    )

    def add(self, run: Run) -> None:
        """Start a run, and forget those that have ended."""
        self.runs = {name: each for name, each in self.runs.items() if not each.ended.is_set()}
        self.runs[run.name] = run
        self.keep(run.begin())

    def keep(self, thread: threading.Thread) -> None:
        """Remember a thread that the end of the cloud waits for."""
        self.threads = [each for each in self.threads if each.is_alive()] + [thread]


_clouds: dict[Path, Live] = {}
_lock = threading.Lock()


def of(cloud: Cloud) -> Live:
    """Return what runs in this cloud."""
    with _lock:
        if cloud.home not in _clouds:
            _clouds[cloud.home] = Live(load(cloud.home))
        return _clouds[cloud.home]


def forget(cloud: Cloud) -> Live | None:
    """Return what runs in this cloud for the last time."""
    with _lock:
        return _clouds.pop(cloud.home, None)
