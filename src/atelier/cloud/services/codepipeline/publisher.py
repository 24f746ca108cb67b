"""The thread that puts a run's events on the bus, in their order and outside of every lock."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from atelier.cloud.context import Cloud

logger = logging.getLogger(__name__)

Told = Mapping[str, Any]


class Publisher:
    """Events on their way.

    The run's record holds them until they are out, which *told* is called to say; so a kill can repeat an
    event, as EventBridge may, but loses none.
    """

    def __init__(self, cloud: Cloud, told: Callable[[str], None]) -> None:
        self._cloud = cloud
        self._told = told
        self._changed = threading.Condition()
        self._queue: deque[tuple[str, Told]] = deque()
        self._closing = False

    def offer(self, run_id: str, told: Iterable[Told]) -> None:
        """Publish these events of a run, after those that wait."""
        with self._changed:
            self._queue.extend((run_id, event) for event in told)
            self._changed.notify_all()

    def waiting(self, run_id: str) -> list[Told]:
        """Return the events of a run that are not out yet."""
        with self._changed:
            return [event for each, event in self._queue if each == run_id]

    def forget(self, run_id: str) -> None:
        """Drop the events of a run that is deleted."""
        with self._changed:
            self._queue = deque(entry for entry in self._queue if entry[0] != run_id)

    def close(self) -> None:
        """End after the event that is being published."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def run(self) -> None:
        """Publish until closed."""
        while (entry := self._next()) is not None:
            self._publish(entry[1])
            with self._changed:
                if self._queue and self._queue[0] is entry:
                    self._queue.popleft()
            if not self.waiting(entry[0]):
                self._told(entry[0])

    def _next(self) -> tuple[str, Told] | None:
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            return None if self._closing else self._queue[0]

    def _publish(self, event: Told) -> None:
        detail = event["detail"]
        try:
            resource = self._cloud.arn("codepipeline", detail["pipeline"])
            self._cloud.events.publish("aws.codepipeline", event["kind"], detail, [resource])
        except Exception:  # the edge: a rule's target that fails must not stop the events after it
            logger.exception("event %s of %s was not delivered", event["kind"], detail["pipeline"])
