"""CloudWatch Logs for what our services run: lines go out live, and none of the tail is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from atelier.cloud.context import Cloud, Credentials

logger = logging.getLogger(__name__)

Event = dict[str, Any]

EVENT_BYTES = 256 * 1024 - 26
BATCH_BYTES = 1_048_576
BATCH_EVENTS = 10_000
OVERHEAD = 26
"""The limits of PutLogEvents: each event counts its UTF-8 bytes plus 26."""

PENDING_EVENTS = 50_000


class LogStream:
    """One log stream, written as a role: call it with a line, close it to send the rest.

    A role that may not write logs loses its logs, not its build: that is said once in the cloud's own log.
    """

    def __init__(
        self, cloud: Cloud, credentials: Credentials, group: str, stream: str, *, every: float = 0.5
    ) -> None:
        self.group = group
        self.stream = stream
        self._cloud = cloud
        self._credentials = credentials
        self._every = every
        self._client: Any = None
        self._is_complaint_made = False
        self._pending: deque[Event] = deque()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = cloud.spawn(self._run)

    def __call__(self, line: str) -> None:
        """Add one line; long ones become several events, as PutLogEvents asks."""
        while len(self._pending) > PENDING_EVENTS and self._thread.is_alive():
            time.sleep(self._every / 10)  # whoever floods the log waits for it, and the memory stays small
        now = int(time.time() * 1000)
        with self._lock:
            self._pending.extend({"timestamp": now, "message": part} for part in parts(line))

    def __enter__(self) -> Self:
        """Return the stream itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send what is left."""
        self.close()

    def close(self, patience: float = 30.0) -> None:
        """Send what is left; wait at most *patience* seconds for it."""
        self._ending.set()
        self._thread.join(patience)

    def _run(self) -> None:
        try:
            self._report(self._open)
            while not self._ending.wait(self._every):
                self._flush()
            self._flush()
        finally:
            if self._client is not None:
                self._client.close()

    def _open(self) -> None:
        self._client = self._cloud.client("logs", self._credentials)
        errors = self._client.exceptions
        place = {"logGroupName": self.group, "logStreamName": self.stream}
        try:
            self._client.create_log_stream(**place)
        except errors.ResourceAlreadyExistsException:
            return
        except errors.ResourceNotFoundException:
            self._create_group()
            self._client.create_log_stream(**place)

    def _create_group(self) -> None:
        try:
            self._client.create_log_group(logGroupName=self.group)
        except self._client.exceptions.ResourceAlreadyExistsException:
            return  # another build made it meanwhile

    def _flush(self) -> None:
        with self._lock:
            events = list(self._pending)
            self._pending.clear()
        for batch in batches(events):
            self._report(self._put, batch)

    def _put(self, batch: list[Event]) -> None:
        self._client.put_log_events(logGroupName=self.group, logStreamName=self.stream, logEvents=batch)

    def _report(self, work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except (ClientError, BotoCoreError) as error:
            if not self._is_complaint_made:
                self._is_complaint_made = True
                logger.warning("logs of %s %s are incomplete: %s", self.group, self.stream, error)


def parts(line: str) -> Iterator[str]:
    """Cut a line into messages that PutLogEvents takes: not empty, at most 256 KiB of UTF-8."""
    line = line.rstrip("\r\n") or " "
    if len(line) * 4 <= EVENT_BYTES:
        yield line
        return
    raw = line.encode(errors="replace")
    while raw:
        head = raw[:EVENT_BYTES].decode(errors="ignore")
        yield head
        raw = raw[len(head.encode()) :]


def batches(events: list[Event]) -> Iterator[list[Event]]:
    """Group events into requests that PutLogEvents takes, in order of time."""
    batch: list[Event] = []
    size = 0
    for event in sorted(events, key=lambda event: int(event["timestamp"])):
        weight = len(event["message"].encode(errors="replace")) + OVERHEAD
        if batch and (size + weight > BATCH_BYTES or len(batch) == BATCH_EVENTS):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += weight
    if batch:
        yield batch
