"""How the registry's program runs: as a process of this machine, or as a container of Docker's."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

from atelier.cloud.context import Container, Engine, Fault, Refused, Running
from atelier.cloud.engines import keeper
from atelier.cloud.engines.images import write_aside
from atelier.cloud.engines.process import Keeper

NAME = "docker-registry"
IMAGE = "registry:2"
MARK = "ATELIER_REGISTRY"
LOG_BYTES = 10_000_000
INSIDE = "/opt/ml"
"""Where a container sees the folder that it is given."""

logger = logging.getLogger(__name__)


class Program(Protocol):
    """CNCF Distribution, which serves one folder."""

    folder: str
    """The folder's name as the program sees it."""

    def run(self, *arguments: str) -> Running:
        """Start the program; raise Refused when it cannot be started."""
        ...

    def clean(self) -> None:
        """End what an earlier, killed run left behind."""
        ...

    def close(self) -> None:
        """Let go of what watches over the program."""
        ...


def find(engine: Engine, folder: Path, path: str | None = None) -> Program:
    """Return the program on *path*, or Docker's image of it; raise Refused where there is neither."""
    if found := shutil.which(NAME, path=os.environ.get("PATH", os.defpath) if path is None else path):
        return OwnProgram(found, folder)
    if engine.has(IMAGE):
        return ContainerProgram(engine, folder)
    raise Refused(
        "the Docker engine needs a registry for this cloud's images, and there is none: install"
        f" {NAME} (Debian: `apt-get install {NAME}`), or `docker pull {IMAGE}`"
    )


class OwnProgram:
    """The program as a process of this machine; it ends with the cloud however that goes."""

    def __init__(self, path: str, folder: Path) -> None:
        self.folder = "."  # its working directory: a socket's path is short
        self._path, self._place = path, folder
        self._keeper = Keeper()

    def run(self, *arguments: str) -> Running:
        """Start the process; what it says goes to a log in its folder."""
        said, mark = self._place / "log", secrets.token_hex(8)
        if said.exists() and said.stat().st_size > LOG_BYTES:
            said.replace(said.with_suffix(".1"))
        with said.open("ab") as log:
            process = subprocess.Popen(
                [self._path, *arguments],
                cwd=self._place,
                env={MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        began = keeper.started(process.pid)
        write_aside(self._record, json.dumps({"pid": process.pid, "started": began}).encode())
        self._keeper.tell(f"+{process.pid} {began} {MARK}={mark}")
        return Child(process, self._keeper, self._record)

    def clean(self) -> None:
        """End the process that is written down, if it is still the one."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            record = json.loads(self._record.read_text())
            keeper.kill_group(record["pid"], record["started"])
        self._record.unlink(missing_ok=True)

    def close(self) -> None:
        """End the process that watches."""
        self._keeper.close()

    @property
    def _record(self) -> Path:
        return self._place / "process.json"


class Child:
    """A started process of the program."""

    fault: Fault | None = None

    def __init__(self, process: subprocess.Popen[bytes], watcher: Keeper, record: Path) -> None:
        self._process, self._watcher, self._record = process, watcher, record
        self.pid = process.pid

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit code, or None when *timeout* seconds passed and it still runs."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        self._watcher.tell(f"-{self.pid}")
        self._record.unlink(missing_ok=True)
        return code

    def stop(self, grace: float) -> int:
        """Send SIGTERM, SIGKILL after *grace* seconds; return the exit code."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(grace)
        self._process.kill()
        return self._process.wait()


class ContainerProgram:
    """The program as a container without any network: its socket is in the folder that it is given."""

    folder = INSIDE

    def __init__(self, engine: Engine, folder: Path, image: str = IMAGE) -> None:
        self._engine, self._place, self._image = engine, folder, image

    def run(self, *arguments: str) -> Running:
        """Start the container; what it says goes to the cloud's log."""
        container = Container(
            name="registry",
            image=self._image,
            arguments=arguments,
            environment={},
            root=self._place,
            is_isolated=True,
            log=lambda line: logger.info("registry: %s", line),
        )
        return self._engine.start(container)

    def clean(self) -> None:
        """Do nothing: the engine ends all containers that an earlier run left behind."""

    def close(self) -> None:
        """Do nothing: the engine watches over its containers."""
