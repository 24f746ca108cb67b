"""The registry that keeps images where Docker runs containers: CNCF Distribution, watched over.

It listens on a Unix socket inside the home, so nobody can read or write past ECR's own checks. It knows no
tags: those are ECR's. It is started again when it ends.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from atelier.cloud.context import Refused, Running
from atelier.cloud.engines.images import write_aside
from atelier.cloud.engines.programs import Program
from atelier.cloud.engines.sockets import SocketConnection

READY_WITHIN = 20.0
LONGEST_PAUSE = 5.0
STEADY = 10.0
"""Seconds after which an end is not counted among those that follow each other."""
COLLECT_WITHIN = 15.0
"""Seconds that a start may spend on giving back room; what is left over goes with the next one."""
GRACE = 10.0
REPOSITORIES = Path("data", "docker", "registry", "v2", "repositories")
BLOBS = REPOSITORIES.with_name("blobs")

logger = logging.getLogger(__name__)


class Unavailable(Exception):
    """The registry does not answer; it is being started again."""


class Distribution:
    """One cloud's registry and what it keeps in *folder*."""

    def __init__(self, folder: Path, program: Program) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.chmod(0o700)
        self.socket = folder / "socket"
        self._program = program
        self._ending = threading.Event()
        self._running: Running | None = None
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def start(self, kept: Mapping[str, Set[str]], patience: float = READY_WITHIN) -> None:
        """Drop what is not *kept* (digests by repository) and start; raise Refused when that fails."""
        self._program.clean()
        self._configure()
        self._sweep(kept)
        self._watcher.start()
        try:
            self.wait(patience)
        except Unavailable as error:
            self.stop()
            raise Refused(
                f"the image registry does not start: {self._folder / 'log'} or `atelier logs` says why"
            ) from error

    def stop(self) -> None:
        """End the program and wait for its end."""
        self._ending.set()
        if self._running is not None:
            self._running.stop(GRACE)
        if self._watcher.is_alive():
            self._watcher.join(timeout=GRACE)
        self._program.close()

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return None if self._running is None else self._running.pid

    def answers(self) -> bool:
        """Say whether the registry answers now."""
        with contextlib.suppress(OSError), contextlib.closing(SocketConnection(self.socket, 5)) as connection:
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 200
        return False

    def wait(self, patience: float) -> None:
        """Return as soon as the registry answers; raise Unavailable after *patience* seconds."""
        deadline = time.monotonic() + patience
        while not self.answers():
            if time.monotonic() > deadline or self._ending.is_set():
                raise Unavailable("the image registry does not answer: try again in a moment")
            time.sleep(0.05)

    def forget(self, repository: str, digest: str) -> None:
        """Delete a manifest; its layers' room is given back with the next start."""
        algorithm, _, name = digest.partition(":")
        revisions = self._repository(repository) / "_manifests" / "revisions"
        shutil.rmtree(revisions / algorithm / name, ignore_errors=True)
        self._garbage.touch()

    def drop(self, repository: str) -> None:
        """Delete everything that a repository has; those whose names begin with its name stay."""
        for part in ("_manifests", "_layers", "_uploads"):
            shutil.rmtree(self._repository(repository) / part, ignore_errors=True)
        self._garbage.touch()

    def free(self) -> int:
        """Return the bytes that are free where images are kept."""
        return shutil.disk_usage(self._folder).free

    @property
    def _garbage(self) -> Path:
        return self._folder / "garbage"

    def _repository(self, name: str) -> Path:
        return self._folder / REPOSITORIES / name

    def _configure(self) -> None:
        document = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": f"{self._program.folder}/data"},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": {
                "net": "unix",
                "addr": f"{self._program.folder}/{self.socket.name}",
                "relativeurls": True,
                "secret": self._secret(),
            },
            "health": {"storagedriver": {"enabled": False}},
        }
        write_aside(self._folder / "config.json", json.dumps(document, indent=2).encode())

    def _secret(self) -> str:
        """Return what uploads' URLs are signed with, the same after a restart so that uploads go on."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            kept: str = json.loads((self._folder / "config.json").read_text())["http"]["secret"]
            return kept
        return secrets.token_urlsafe(32)

    def _sweep(self, kept: Mapping[str, Set[str]]) -> None:
        """Let what is stored follow ECR's records, then give back the room of what nobody names."""
        for path in list(self._manifests()):
            repository = path.parents[3].relative_to(self._folder / REPOSITORIES).as_posix()
            digest = f"{path.parent.name}:{path.name}"
            if digest not in kept.get(repository, frozenset()):
                self.forget(repository, digest)
        for uploads in (self._folder / REPOSITORIES).rglob("_uploads"):
            shutil.rmtree(uploads, ignore_errors=True)
        if self._garbage.exists() and (self._folder / BLOBS).exists():
            self._collect()
        else:
            self._garbage.unlink(missing_ok=True)

    def _manifests(self) -> Iterator[Path]:
        return (self._folder / REPOSITORIES).glob("**/_manifests/revisions/*/*")

    def _collect(self) -> None:
        collecting = self._program.run("garbage-collect", self._config)
        code = collecting.wait(COLLECT_WITHIN)
        if code == 0:
            self._garbage.unlink(missing_ok=True)
            return
        if code is None:  # it must not meet the layers of the next push
            collecting.stop(GRACE)
        logger.warning("the image registry could not give back all room: it ended with %s", code)

    @property
    def _config(self) -> str:
        return f"{self._program.folder}/config.json"

    def _watch(self) -> None:
        pause = 0.1
        while not self._ending.is_set():
            began = time.monotonic()
            end = self._run()
            if self._ending.is_set():
                return
            pause = 0.1 if time.monotonic() - began > STEADY else min(2 * pause, LONGEST_PAUSE)
            logger.warning("the image registry %s: it is started again", end)
            self._ending.wait(pause)

    def _run(self) -> str:
        """Run the program to its end; return how that came."""
        self.socket.unlink(missing_ok=True)
        try:
            self._running = self._program.run("serve", self._config)
        except Refused as refused:
            return f"cannot be started ({refused})"
        if self._ending.is_set():
            self._running.stop(GRACE)
        return f"ended with code {self._running.wait()}"
