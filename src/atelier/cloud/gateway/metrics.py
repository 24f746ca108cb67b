"""CloudWatch, as services feed it and act on its alarms."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from atelier.cloud.context import Sample
from atelier.cloud.gateway.hooks import bus, metrics, queues

logger = logging.getLogger("atelier.cloud.metrics")

EVERY = 2.0


@dataclass(frozen=True)
class GatewayMetrics:
    """The `Metrics` of the running cloud."""

    account: str
    region: str

    def put(self, namespace: str, name: str, value: float, dimensions: Mapping[str, str]) -> None:
        """Tell CloudWatch one value of now."""
        with self._here():
            metrics.put(namespace, name, value, dimensions)

    def samples(self, namespace: str, name: str, dimensions: Mapping[str, str], since: float) -> list[Sample]:
        """Return what was told of exactly this metric, from *since* on."""
        with self._here():
            return metrics.samples(namespace, name, dimensions, since)

    def alarms(self) -> list[Mapping[str, Any]]:
        """Return the metric alarms."""
        with self._here():
            return metrics.alarms()

    def put_alarm(self, alarm: Mapping[str, Any]) -> None:
        """Make or change an alarm; one that exists keeps its state."""
        with self._here():
            metrics.put_alarm(alarm)

    def delete_alarm(self, name: str) -> None:
        """Forget an alarm."""
        with self._here():
            metrics.delete_alarm(name)

    def move_alarm(self, name: str, state: str, reason: str) -> None:
        """Bring an alarm to another state; topics hear of it."""
        with self._here():
            metrics.move_alarm(name, state, reason)

    def _here(self) -> AbstractContextManager[None]:
        return bus.scope(self.account, self.region)


class QueueMetrics:
    """Tells CloudWatch again and again how full the queues are, which ministack does not."""

    def __init__(self, account: str, region: str) -> None:
        self._metrics, self._account, self._region = GatewayMetrics(account, region), account, region
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="queue-metrics")

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Tell no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def tell(self) -> None:
        """Tell of every queue once."""
        with bus.scope(self._account, self._region):
            found = list(queues.counts())
        for queue, numbers in found:
            for name, number in numbers.items():
                self._metrics.put("AWS/SQS", name, number, {"QueueName": queue})

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                self.tell()
            except Exception:  # a thread that ends would end the metrics for good
                logger.exception("the queues' metrics are missing; they are tried again")
