"""What a build says: its commands' output and CodeBuild's own words, in the order in which they came."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

LINE_BYTES = 64 * 1024


class Output:
    """A pipe that commands write to; every line goes to *sink* as soon as it is whole, secrets hidden."""

    def __init__(self, sink: Callable[[str], None]) -> None:
        self._sink = sink
        self._secrets: set[str] = set()
        self._end = f"-- {uuid.uuid4()} --"
        self._reading, self.descriptor = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hide(self, secret: str) -> None:
        """Show *secret* as asterisks from now on, each of its lines."""
        self._secrets.update(line for line in secret.splitlines() if line.strip())

    def say(self, text: str) -> None:
        """Write a line of CodeBuild's own, with the time, after all that commands have written so far."""
        now = datetime.now(UTC).strftime("%Y/%m/%d %H:%M:%S.%f")
        self._write(f"[Container] {now} {text}\n")

    def close(self) -> None:
        """Pass on what is left; a process that still holds the pipe is not waited for."""
        self._write(f"{self._end}\n")
        self._thread.join()
        os.close(self.descriptor)
        os.close(self._reading)

    def _write(self, text: str) -> None:
        data = memoryview(text.encode(errors="replace"))
        while data:
            data = data[os.write(self.descriptor, data) :]

    def _run(self) -> None:
        rest = b""
        while chunk := os.read(self._reading, LINE_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                text, end, _ = line.decode(errors="replace").partition(self._end)
                if text or not end:
                    self._pass_on(text)
                if end:
                    return

    def _pass_on(self, line: str) -> None:
        for secret in sorted(self._secrets, key=len, reverse=True):
            line = line.replace(secret, "***")
        self._sink(line.rstrip("\r"))
