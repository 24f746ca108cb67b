"""Saving while the cloud runs, so that a kill loses seconds and not the day.

ministack writes its state at a clean stop only. Here a thread writes the services that changed, a moment
after they did, off the path of requests. Our own services keep their records in SQLite and need none of this.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterable

from atelier.cloud.gateway.hooks import state

logger = logging.getLogger("atelier.cloud.persistence")

EVERY = 2.0
WHOLE_EVERY = 60.0
SHARE = 20  # at most one part in this many of the time goes into saving
SCOPE = re.compile(rb"Credential=[^/]+/[^/]+/[^/]+/([^/]+)/")
READS = re.compile(rb"\.(Describe|List|Get|BatchGet|Query|Scan|Filter)")

# What a change in one service carries into others without a request of its own.
FOLLOWING = {
    "sns": ("sqs",),
    "s3": ("eventbridge", "sqs", "sns"),
    "eventbridge": ("sqs", "sns", "stepfunctions"),
    "lambda": ("cloudwatch_logs",),
    "stepfunctions": ("cloudwatch_logs", "eventbridge", "sqs", "sns", "dynamodb"),
}


class Saver:
    """Keeps the state files close behind the services."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marked: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._whole = 0.0
        self._progress = 0
        self._touched = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="state-saver")

    def start(self) -> None:
        """Begin to save."""
        state.install(self.mark)
        self._progress = state.progress()
        self._thread.start()

    def stop(self) -> None:
        """End; what is left is written by the clean stop itself."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def mark(self, key: str) -> None:
        """Note that a service's state changed, and what goes with it."""
        with self._lock:
            self._touched = True
            self._marked.update((key, *FOLLOWING.get(key, ())))

    def request(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Note what a request may change, from what it is signed for."""
        if method in {"GET", "HEAD", "OPTIONS"}:
            return
        values = dict(headers)
        if READS.search(values.get(b"x-amz-target", b"")):
            return
        found = SCOPE.search(values.get(b"authorization", b""))
        for key in state.files_of(found[1].decode("latin-1")) if found else ("s3",):
            self.mark(key)

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                self._save()
            except Exception:  # a thread that ends would end saving for good
                logger.exception("could not save the state; it will be tried again")

    def _save(self) -> None:
        now, progress = time.monotonic(), state.progress()
        with self._lock:
            due = {key for key in self._marked if self._not_before.get(key, 0) <= now}
            self._marked -= due
            whole = progress != self._progress  # a stack makes things in services that no request names
            if self._touched and now - self._whole > WHOLE_EVERY:
                whole, self._touched, self._whole = True, False, now
        if whole:
            due |= set(state.every_file())
        for key in sorted(due):
            self._write(key)
        self._progress = progress

    def _write(self, key: str) -> None:
        began = time.monotonic()
        try:
            copy = state.copy(key)
        except RuntimeError:  # a store changed while it was copied: the next round gets it
            self.mark(key)
            return
        if copy is not None:
            state.write(key, copy)
        took = time.monotonic() - began
        self._not_before[key] = time.monotonic() + took * SHARE
