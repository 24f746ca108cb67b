"""A container that Docker runs: its log, its end, and why it ended."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docker.errors import APIError, NotFound

from atelier.cloud.context import Fault
from atelier.cloud.engines.docker.client import AWAY, FAILURES, explain, let_go
from atelier.cloud.engines.lines import Lines

KILLED = 128 + signal.SIGKILL
AWAY_PATIENCE = 30.0
"""Seconds that an engine may take to be back before its containers count as ended."""
KILL_PATIENCE = 30.0
LOOK = 0.5
PROBE_LOOK = 0.05

NOT_RUN = (2, 126, 127)
"""How it ends when a program is none: it is given to a shell, which finds no commands in it."""

GONE = Fault("the Docker engine was stopped while the container ran", is_platform=True)
REMOVED = Fault("the container was removed by someone else while it ran", is_platform=True)

logger = logging.getLogger(__name__)

Output = Iterable[tuple[bytes | None, bytes | None]]


@dataclass(frozen=True)
class Suspicions:
    """What is known of a container that may come to be why it failed."""

    memory: str
    """How much it may have."""
    platform: str | None = None
    """What its image is built for, when that is not what the engine runs."""

    def fault(self, state: Mapping[str, Any], last: bytes) -> Fault | None:
        """Return why a container failed, by the engine's word on its end and the last line of its log."""
        said = "".join(each for each in last.decode(errors="replace") if each.isprintable())
        if state.get("OOMKilled"):
            return Fault(f"OutOfMemory: the container needed more than {self.memory}, and was killed")
        if self.platform and state["ExitCode"] in NOT_RUN:
            return Fault(f"the image is built for {self.platform}, which this machine does not run: {said}")
        return Fault(state["Error"]) if state.get("Error") else None


class DockerRunning:
    """A started container. *output* was attached before its start, so that no line is missed."""

    def __init__(
        self,
        api: Any,
        identifier: str,
        output: Output,
        *,
        log: Callable[[str], None],
        suspicions: Suspicions,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.fault: Fault | None = None
        self._api, self._id = api, identifier
        self._log, self._suspicions, self._at_end = log, suspicions, ended
        self._code, self._last, self._log_broke = 0, b"", False
        self._ended, self._abandoned = threading.Event(), threading.Event()
        self.pid = self._pid()
        threading.Thread(target=self._follow, args=(output,), daemon=True).start()

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit code once the log is complete, or None when *timeout* seconds passed before."""
        return self._code if self._ended.wait(timeout) else None

    def stop(self, grace: float) -> int:
        """Send SIGTERM, SIGKILL after *grace* seconds; return the exit code."""
        if not self._ended.is_set():
            self._signal(signal.SIGTERM)
        if not self._ended.wait(grace):
            self._signal(signal.SIGKILL)
            if not self._ended.wait(KILL_PATIENCE):
                self._abandoned.set()
                self._ended.wait()
        return self._code

    def probe(self, command: Sequence[str], timeout: float) -> int | None:
        """Run a command inside the container; return its exit code."""
        deadline = time.monotonic() + timeout
        try:
            made = self._api.exec_create(self._id, list(command), stdout=False, stderr=False)["Id"]
            self._api.exec_start(made, detach=True)
            while (seen := self._api.exec_inspect(made))["Running"]:
                if time.monotonic() > deadline:
                    return None
                time.sleep(PROBE_LOOK)
        except FAILURES as error:
            logger.info("container %s cannot be probed: %s", self._id[:12], explain(error))
            return None
        return int(seen["ExitCode"])

    def _pid(self) -> int:
        with contextlib.suppress(*FAILURES):
            return int(self._api.inspect_container(self._id)["State"]["Pid"])
        return 0

    def _signal(self, number: signal.Signals) -> None:
        try:
            self._api.kill(self._id, int(number))
        except APIError:  # it has ended meanwhile
            return
        except FAILURES as error:
            logger.warning("container %s cannot be ended: %s", self._id[:12], explain(error))
            self._abandoned.set()

    def _follow(self, output: Output) -> None:
        try:
            self._code, self.fault = self._course(output)
            with contextlib.suppress(*FAILURES):
                self._api.remove_container(self._id, force=True, v=True)
        except Exception:  # the edge: whoever waits must not wait for ever
            logger.exception("container %s is lost", self._id[:12])
            self._code, self.fault = KILLED, GONE
        finally:
            self._at_end()
            self._ended.set()

    def _course(self, output: Output) -> tuple[int, Fault | None]:
        """Follow the container to its end, through restarts of its engine."""
        was_away = False
        while True:
            self._pump(output)
            try:
                self._api.wait(self._id, timeout=None)
                return self._ending(was_away=was_away)
            except NotFound:
                return KILLED, GONE if was_away else REMOVED
            except FAILURES as error:
                was_away = True
                logger.warning("container %s: %s", self._id[:12], explain(error))
                if not self._is_back():
                    return KILLED, GONE
            output = self._output()
            was_away = not output

    def _pump(self, output: Output) -> None:
        """Log what the container says until it or the engine ends."""
        streams = Lines(self._say), Lines(self._say)
        try:
            for pieces in output:
                for lines, piece in zip(streams, pieces, strict=True):
                    if piece:
                        lines.feed(piece)
        except FAILURES as error:
            logger.info("container %s: its output broke off: %s", self._id[:12], error)
        finally:
            let_go(output)
            for lines in streams:
                lines.end()

    def _output(self) -> Output:
        """Attach again, if it still runs: to what has ended Docker would let us listen for ever."""
        with contextlib.suppress(*FAILURES):
            output: Output = self._api.attach(self._id, stream=True, demux=True)
            if self._api.inspect_container(self._id)["State"]["Running"]:
                return output
            let_go(output)
        return ()

    def _is_back(self) -> bool:
        """Wait for the engine; say whether it came back in time."""
        deadline = time.monotonic() + AWAY_PATIENCE
        while time.monotonic() < deadline and not self._abandoned.wait(LOOK):
            with contextlib.suppress(*FAILURES):
                return bool(self._api.ping())
        return False

    def _ending(self, *, was_away: bool) -> tuple[int, Fault | None]:
        try:
            state = self._api.inspect_container(self._id)["State"]
        except AWAY:
            return KILLED, GONE
        code = int(state["ExitCode"])
        if code and was_away:
            return code, GONE
        return code, self._suspicions.fault(state, self._last) if code else None

    def _say(self, line: bytes) -> None:
        self._last = line
        try:
            self._log(line.decode(errors="replace").rstrip("\r"))
        except Exception:  # the container must not block on a full pipe because its log is broken
            if not self._log_broke:
                logger.exception("container %s: lines of its log are lost", self._id[:12])
            self._log_broke = True
