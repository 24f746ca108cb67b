"""What a job tells while it works: a log, metrics and samples, in S3 a few seconds after they were said.

An object in S3 cannot grow, so the log and the metrics are written anew each time; both are short. A report
that does not arrive stops no work: only the last one, which says how the job ended, has to.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diffusion.errors import Refused

LOG, METRICS, RESULT = "log.txt", "metrics.jsonl", "result.json"
EVERY_SECONDS = 4.0

Upload = Callable[[Path, str], None]


class Report:
    """The files of one job's report, gathered in *folder* and sent by *upload* under their names."""

    def __init__(self, folder: Path, upload: Upload, *, every: float = EVERY_SECONDS) -> None:
        self._folder, self._upload, self._every = folder, upload, every
        self._changed: set[str] = set()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_sending, name="report", daemon=True)
        self._thread.start()

    def say(self, line: str) -> None:
        """Write a line of the log."""
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        self.note(line)

    def note(self, line: str) -> None:
        """Write a line of the log that the container says itself."""
        self._append(LOG, line)

    def metric(self, values: Mapping[str, Any]) -> None:
        """Write a line of metrics."""
        self._append(METRICS, json.dumps({**values, "at": now()}))

    def metrics(self) -> str:
        """Return all lines of metrics, for a job that goes on later."""
        path = self._folder / METRICS
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def restore(self, metrics: str) -> None:
        """Begin with what an interrupted job had measured."""
        if metrics:
            self.keep(METRICS, metrics.encode())

    def keep(self, name: str, body: bytes) -> None:
        """Write a whole file."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            path.write_bytes(body)
            self._changed.add(name)

    def path(self, name: str) -> Path:
        """Return where a large file of the report may be written; `sent` says that it is whole."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def sent(self, name: str) -> None:
        """Send a file that was written by its path."""
        with self._lock:
            self._changed.add(name)

    def end(self) -> None:
        """Send what was not sent yet; complain if that cannot be done."""
        self._ended.set()
        self._thread.join()
        self._send()

    def _append(self, name: str, line: str) -> None:
        with self._lock, (self._folder / name).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            self._changed.add(name)

    def _keep_sending(self) -> None:
        while not self._ended.wait(self._every):
            try:
                self._send()
            except (Refused, OSError) as error:
                sys.stderr.write(f"warning: the report was not sent, and will be later: {error}\n")

    def _send(self) -> None:
        with self._sending:
            while name := self._next():
                try:
                    self._upload(self._folder / name, name)
                except BaseException:
                    self.sent(name)  # it is still to be sent
                    raise

    def _next(self) -> str | None:
        with self._lock:
            return self._changed.pop() if self._changed else None


def now() -> str:
    """Return the time as the report writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
