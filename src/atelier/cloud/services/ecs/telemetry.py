"""What tasks use of the processor and the memory that they have, told to CloudWatch by service."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecs import live, sizes
from atelier.cloud.services.ecs.service import tasks
from atelier.cloud.store import Record

NAMESPACE = "AWS/ECS"
PROCESSES = Path("/proc")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Use:
    """What a process and those that it started have used: seconds of processors, bytes of memory."""

    seconds: float
    memory: int


@dataclass
class Telemetry:
    """Tells of one cloud's services, again and again."""

    cloud: Cloud
    state: live.Live
    _before: dict[str, tuple[float, float]] = field(default_factory=dict)
    """When a task was looked at last, and the seconds that it had used by then."""

    def run(self) -> None:
        """Tell until the cloud goes down."""
        while not self.state.ending.wait(self.state.settings.metrics_interval):
            try:
                self.tell(time.monotonic())
            except Exception:  # a thread that ends would end the metrics for good
                logger.exception("the metrics of tasks are missing; they are tried again")

    def tell(self, now: float) -> None:
        """Tell once of every service whose tasks run."""
        runs = dict(self.state.runs)
        uses = used({id: run.pids for id, run in runs.items()}) if runs else {}
        found: dict[str, list[tuple[float, float]]] = {}
        for id, use in uses.items():
            task = tasks(self.cloud).get(id)
            if task and task.get("Service") and task["lastStatus"] == "RUNNING":
                found.setdefault(task["Service"], []).append(self._shares(task, use, now))
        self._before = {id: each for id, each in self._before.items() if id in uses}
        for service, shares in found.items():
            cluster, _, name = service.partition("/")
            where = {"ClusterName": cluster, "ServiceName": name}
            for metric, values in zip(
                ("CPUUtilization", "MemoryUtilization"), zip(*shares, strict=True), strict=True
            ):
                self.cloud.metrics.put(NAMESPACE, metric, sum(values) / len(values), where)

    def _shares(self, task: Record, use: Use, now: float) -> tuple[float, float]:
        """Return the percentages of its processor and its memory that a task uses."""
        size = sizes.size(task["cpu"], task["memory"])
        since, seconds = self._before.get(task["Id"], (now, use.seconds))
        self._before[task["Id"]] = now, use.seconds
        share = (use.seconds - seconds) / (now - since) / size.vcpus if now > since else 0.0
        return max(0.0, share) * 100, use.memory / size.memory * 100


def used(roots: Mapping[str, list[int]]) -> dict[str, Use]:
    """Return what the processes below *roots* have used; nothing where they cannot be seen."""
    seen = dict(_processes())
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in seen.items():
        children.setdefault(parent, []).append(pid)
    return {
        key: _sum(pids, children, {pid: use for pid, (_, use) in seen.items()})
        for key, pids in roots.items()
        if any(each in seen for each in pids)
    }


def _sum(pids: list[int], children: Mapping[int, list[int]], uses: Mapping[int, Use]) -> Use:
    left, seconds, memory = list(pids), 0.0, 0
    while left:
        pid = left.pop()
        left += children.get(pid, [])
        if pid in uses:
            seconds, memory = seconds + uses[pid].seconds, memory + uses[pid].memory
    return Use(seconds, memory)


def _processes() -> Iterator[tuple[int, tuple[int, Use]]]:
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    for folder in PROCESSES.glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        seconds = sum(int(each) for each in fields[11:15]) / tick
        yield int(folder.name), (int(fields[1]), Use(seconds, int(fields[21]) * page))
