"""Containers as plain processes, for a machine without Docker. Nothing isolates them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from atelier.cloud.context import Container, Fault, Login, Machines, Refused
from atelier.cloud.engines import keeper, mounts
from atelier.cloud.engines.images import Image, ImageError, ImageStore, write_aside
from atelier.cloud.engines.layers import InstallFailed, Layers, Log, interpreter
from atelier.cloud.engines.lines import LONGEST_LINE

BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

MARK = "ATELIER_CONTAINER"
NOT_FOUND = 127
"""How a shell ends that finds no such command."""

GATE = 'read -r go || exit 1; exec "$@" </dev/null'
"""The shell waits for our word before it becomes the container's command.

Should this cloud be killed in between, the pipe closes, and nothing runs that nobody has written down.
"""

logger = logging.getLogger(__name__)


class ProcessEngine:
    """Starts images of the `docker` command's making as processes of this machine."""

    name = "process"
    isolates = False
    machines: Machines | None = None

    def __init__(self, home: Path, cache: Path) -> None:
        self._folder = home / "containers"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store = ImageStore(home)
        self._layers = Layers(cache)
        self._keeper = Keeper()
        self.tools: Path | None = write_tools(home, cache)

    def pull(self, image: str, login: Callable[[], Login], *, check: Callable[[], None]) -> None:
        """Check that the image is there: what was pushed is on this disk, so nobody has to log in."""
        check()
        try:
            self._store.pushed(image)
        except ImageError as error:
            raise Refused(f"cannot pull {image}: {error}") from error

    def has(self, image: str) -> bool:
        """Say whether an image is there already."""
        with contextlib.suppress(ImageError):
            return bool(self._store.pushed(image))
        return False

    def start(self, container: Container) -> Process:
        """Start a container; raise Refused when its image is not there or has nothing to run."""
        if container.is_isolated:
            raise Refused(
                f"container {container.name}: only the Docker engine can isolate it from the network"
            )
        try:
            image = self._store.pushed(container.image)
            environment = self._environment(image, container)
            rootfs = self._store.unpack(image)
            whole = [*mounts.sealed(container), *command(image, rootfs, container)]
        except (ImageError, InstallFailed) as error:
            raise Refused(f"container {container.name}: {error}") from error
        mark = secrets.token_hex(16)
        folder = self._folder / mark
        for each in (folder / "home", folder / "tmp", container.root):
            if each is not None:
                each.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            mounts.laid(container)
            return Process(
                command=whole,
                variables=variables(image, rootfs, container, environment, folder),
                cwd=rootfs / image.config["config"]["WorkingDir"].lstrip("/"),
                folder=folder,
                log=container.log,
                keeper=self._keeper,
            )
        except (OSError, ValueError) as error:  # too long an argument, a zero byte: what no kernel starts
            shutil.rmtree(folder)
            raise Refused(f"container {container.name} cannot be started: {error}") from error

    def clean(self) -> None:
        """End what an earlier run of this cloud left behind."""
        for folder in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError, ValueError):
                record = json.loads((folder / "process.json").read_text())
                if keeper.kill_group(record["pid"], record["started"]):
                    logger.warning("ended container %s of an earlier run", record["pid"])
            keeper.kill_marked(f"{MARK}={folder.name}")
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """End the process that watches over this cloud's containers, and so those that still run."""
        self._keeper.close()

    def _environment(self, image: Image, container: Container) -> Path:
        """Return the image's environment: the one of its build, or made anew where the cache was emptied."""
        python = interpreter(image.python)
        key = self._store.environments.get("", image.digest)
        if key and (found := self._layers.ready(key)):
            return found
        locks = self._store.locks(image)
        return self._layers.environment(locks, python, container.log)


def command(image: Image, rootfs: Path, container: Container) -> list[str]:
    """Return what runs: the entrypoint with the container's arguments, or with CMD when it has none."""
    config = image.config["config"]
    fixed = [mapped(each, rootfs) for each in container.entrypoint or config.get("Entrypoint") or []]
    default = [] if container.entrypoint else [mapped(each, rootfs) for each in config.get("Cmd") or []]
    whole = fixed + ([mounts.placed(each, container) for each in container.arguments] or default)
    if not whole:
        raise Refused(f"container {container.name}: its image has no ENTRYPOINT or CMD, and no arguments")
    return whole


def variables(
    image: Image, rootfs: Path, container: Container, environment: Path, folder: Path
) -> dict[str, str]:
    """Return the whole environment of a container: its image's and its own, and nothing of the host's."""
    own = dict(each.split("=", 1) for each in image.config["config"].get("Env") or [])
    path = mapped(own.pop("PATH", BASE_PATH), rootfs)
    port = {} if container.port is None else {"SAGEMAKER_BIND_TO_PORT": str(container.port)}
    base = {} if container.root is None else {"SAGEMAKER_BASE_DIR": str(container.root)}
    return {
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",  # a log that comes at the end is no live log
        **{name: mapped(value, rootfs) for name, value in own.items()},
        **{name: mounts.placed(value, container) for name, value in container.environment.items()},
        "PATH": f"{environment / 'bin'}:{path}",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "BIND_HOST": container.address,
        MARK: folder.name,
        **base,
        **port,
    }


def mapped(value: str, rootfs: Path) -> str:
    """Return *value* with absolute paths of the image's own files turned to their places here."""

    def place(part: str) -> str:
        inside = rootfs / part.lstrip("/")
        return str(inside) if part.strip("/") and part.startswith("/") and inside.exists() else part

    return ":".join(place(part) for part in value.split(":"))


class Process:
    """A started container: one process group, its log, and its exit."""

    def __init__(
        self,
        *,
        command: list[str],
        variables: Mapping[str, str],
        cwd: Path,
        folder: Path,
        log: Log,
        keeper: Keeper,
    ) -> None:
        self.fault: Fault | None = None
        self._folder, self._log, self._keeper = folder, log, keeper
        self._place: dict[str, Any] = {"cwd": cwd, "env": dict(variables)}
        self._signals = threading.Lock()
        self._ended = threading.Event()
        self._code, self._log_broke = 0, False
        self._popen = subprocess.Popen(
            ["/bin/sh", "-c", GATE, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **self._place,
        )
        self.pid = self._popen.pid
        self._release()
        self._pump = threading.Thread(target=self._read, daemon=True)
        self._pump.start()
        threading.Thread(target=self._reap, daemon=True).start()

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit code once the log is complete, or None when *timeout* seconds passed before."""
        return self._code if self._ended.wait(timeout) else None

    def stop(self, grace: float) -> int:
        """Send SIGTERM to the whole group, SIGKILL after *grace* seconds; return the exit code."""
        self._signal(signal.SIGTERM)
        if not self._ended.wait(grace):
            self._signal(signal.SIGKILL)
            self._ended.wait()
        return self._code

    def probe(self, command: Sequence[str], timeout: float) -> int | None:
        """Run a command as a process of the container's environment; return its exit code."""
        quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        try:
            return subprocess.call(command, timeout=timeout, **quiet, **self._place)
        except subprocess.TimeoutExpired:
            return None
        except OSError:
            return NOT_FOUND

    def _release(self) -> None:
        """Write down who runs, then let it run."""
        began = keeper.started(self.pid)
        write_aside(self._folder / "process.json", json.dumps({"pid": self.pid, "started": began}).encode())
        self._keeper.tell(f"+{self.pid} {began} {MARK}={self._folder.name}")
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._popen.stdin as gate:
            gate.write(b"go\n")

    def _signal(self, number: signal.Signals) -> None:
        with self._signals:  # never to a number that was reaped and may be another's by now
            if self._popen.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, number)

    def _reap(self) -> None:
        """Wait for the leader's end, end what it left, and only then give its number free."""
        with contextlib.suppress(ChildProcessError):  # whoever reaped it, it has ended
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self._signal(signal.SIGKILL)
        keeper.kill_marked(f"{MARK}={self._folder.name}")
        with self._signals:
            code = self._popen.wait()
        self._pump.join(timeout=5)  # a process that left the group and its environment may hold the pipe
        self._keeper.tell(f"-{self.pid}")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._code = code if code >= 0 else 128 - code  # as Docker reports a death by signal
        self._ended.set()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as output:
            while line := output.readline(LONGEST_LINE):
                self._say(line)

    def _say(self, line: bytes) -> None:
        try:
            self._log(line.decode(errors="replace").rstrip("\r\n"))
        except Exception:  # the container must not block on a full pipe because its log is broken
            if not self._log_broke:
                logger.exception("container %s: lines of its log are lost", self.pid)
            self._log_broke = True


class Keeper:
    """The process that ends containers should this one be killed; started with the first container."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._popen: subprocess.Popen[str] | None = None

    def tell(self, message: str) -> None:
        """Send one message; a keeper that was killed is replaced, though it has forgotten the others."""
        with self._lock:
            for _ in range(2):
                self._popen = self._popen or self._start()
                try:
                    self._pipe(self._popen).write(f"{message}\n")
                except BrokenPipeError:
                    self._end()
                else:
                    return

    def close(self) -> None:
        """Let it end what still runs, and wait for its end."""
        with self._lock:
            self._end()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def _pipe(self, popen: subprocess.Popen[str]) -> IO[str]:
        assert popen.stdin is not None
        return popen.stdin

    def _end(self) -> None:
        if self._popen is not None:
            with contextlib.suppress(BrokenPipeError):
                self._pipe(self._popen).close()
            self._popen.wait()
            self._popen = None


def write_tools(home: Path, cache: Path) -> Path:
    """Write the `docker` command of this cloud and return its folder, for a build's PATH."""
    words = [sys.executable, "-I", "-m", "atelier.cloud.engines.docker_command"]
    line = shlex.join([*words, str(home.resolve()), str(cache.resolve())])
    script = home / "tools" / "docker"
    write_aside(script, f'#!/bin/sh\nexec {line} "$@"\n'.encode())
    script.chmod(0o700)
    return script.parent
