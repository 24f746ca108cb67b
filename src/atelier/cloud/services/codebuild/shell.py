"""The one shell in which all commands of a build run, so that `cd`, `export` and functions last.

The shell's standard input is a socket: over it come the commands, as names of files, and back goes the exit
status of each. Commands do not inherit it, so what they leave running in the background holds up nothing. A
command that ends the shell (`exit 0`, `set -e`) ends only itself: the next one gets a new shell with the
folder and the exported variables that were.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from atelier.cloud.services.codebuild.failures import Ended

LOOP = """\
trap 'export -p >"$CODEBUILD_STATE_DIR/exports"; pwd -P >"$CODEBUILD_STATE_DIR/folder"' EXIT
[ -r "$CODEBUILD_STATE_DIR/exports" ] && . "$CODEBUILD_STATE_DIR/exports"
while IFS= read -r codebuild_command; do
    . "$codebuild_command" </dev/null
    echo "$?" >&0
done
"""

MARK = "CODEBUILD_BUILD_ID"
QUIET = {"bash": ("--norc", "--noprofile")}
"""A bash whose input is a socket takes itself for a remote login's, and would read ~/.bashrc."""


class Shell:
    """A shell in a process group of its own, with everything that it says on *output*."""

    def __init__(
        self, program: str, folder: Path, environment: Mapping[str, str], state: Path, output: int
    ) -> None:
        state.mkdir(mode=0o700, exist_ok=True)
        self._program = program
        self._folder = folder
        self._environment = {**environment, "CODEBUILD_STATE_DIR": str(state)}
        self._state = state
        self._output = output
        self._count = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._lock = threading.Lock()
        self._ended: Ended | None = None

    def run(self, command: str) -> int:
        """Run one command and return its exit status; raise Ended if `end` is called meanwhile."""
        self._count += 1
        script = self._state / f"command-{self._count}"
        script.write_text(command + "\n", encoding="utf-8")
        process, line = self._start()
        with suppress(OSError):  # a shell that is gone already says so to _await
            line.sendall(f"{script}\n".encode())
        status = self._await(process, line)
        if self._ended:
            raise self._ended
        return status

    def read(self, name: str) -> str | None:
        """Return the value of a variable, exported or not, or None when it is not set."""
        answer = self._state / "answer"
        answer.unlink(missing_ok=True)
        self.run(f'[ -n "${{{name}+set}}" ] && printf %s "${name}" >"$CODEBUILD_STATE_DIR/answer"')
        return answer.read_text(encoding="utf-8", errors="replace") if answer.exists() else None

    def end(self, ended: Ended) -> None:
        """Kill whatever runs now; the command under way raises *ended*."""
        with self._lock:
            self._ended = self._ended or ended
        self._kill()

    def close(self) -> None:
        """End the shell and everything that the build left running."""
        self._kill()
        self._release()

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        with self._lock:
            if self._ended:
                raise self._ended
            if self._process is None or self._line is None:
                self._process, self._line = self._spawn()
            return self._process, self._line

    def _spawn(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, its = socket.socketpair()
        kept = self._state / "folder"
        folder = Path(kept.read_text(encoding="utf-8").rstrip("\n")) if kept.exists() else self._folder
        with its:
            process = subprocess.Popen(
                [self._program, *QUIET.get(Path(self._program).name, ()), "-c", LOOP],
                cwd=folder if folder.is_dir() else self._folder,
                env=self._environment,
                stdin=its.fileno(),
                stdout=self._output,
                stderr=self._output,
                start_new_session=True,
            )
        return process, ours

    def _await(self, process: subprocess.Popen[bytes], line: socket.socket) -> int:
        """Wait for a status, or for the end of the shell: then its exit code is the command's."""
        while True:
            ready, _, _ = select.select([line], [], [], 1.0)
            answer = self._answer(line) if ready else b""
            if answer:
                return int(answer)
            if ready or process.poll() is not None:
                code = process.wait()
                self._release()
                return code if code >= 0 else 128 - code

    def _answer(self, line: socket.socket) -> bytes:
        try:
            return line.recv(64)
        except ConnectionResetError:  # it ended without reading the command
            return b""

    def _release(self) -> None:
        with self._lock:
            line, self._line = self._line, None
            process, self._process = self._process, None
        if line is not None:
            line.close()
        if process is not None:
            process.wait()

    def _kill(self) -> None:
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
        kill_marked(self._environment.get(MARK, ""))


def kill_marked(build: str, patience: float = 5.0) -> None:
    """Kill every process that was started for *build*, those too that left its group."""
    deadline = time.monotonic() + patience
    while build and (found := marked(build)) and time.monotonic() < deadline:
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def marked(build: str) -> list[int]:
    """Return the processes that carry the build's id in their environment (where /proc tells)."""
    wanted = f"{MARK}={build}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in place.read_bytes().split(b"\0"):
                found.append(int(place.parent.name))
    return found
