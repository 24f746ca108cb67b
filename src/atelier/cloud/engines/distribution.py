"""The registry that keeps images where Docker runs containers: CNCF Distribution as a child process.

It listens on a Unix socket inside the home, so nobody can read or write past ECR's own checks. It knows no
tags: those are ECR's. It is started again when it ends, and ends with the cloud however that goes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from atelier.cloud.context import Refused
from atelier.cloud.engines import keeper
from atelier.cloud.engines.images import write_aside
from atelier.cloud.engines.process import Keeper
from atelier.cloud.engines.sockets import SocketConnection

PROGRAM = "docker-registry"
MARK = "ATELIER_REGISTRY"
READY_WITHIN = 20.0
LONGEST_PAUSE = 5.0
LOG_BYTES = 10_000_000
REPOSITORIES = Path("data", "docker", "registry", "v2", "repositories")
BLOBS = REPOSITORIES.with_name("blobs")

logger = logging.getLogger(__name__)


class Unavailable(Exception):
    """The registry does not answer; it is being started again."""


class Distribution:
    """One cloud's registry process and what it keeps in *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.chmod(0o700)
        self.socket = folder / "socket"
        self._program = _program()
        self._keeper = Keeper()
        self._ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def start(self, kept: Mapping[str, Set[str]], patience: float = READY_WITHIN) -> None:
        """Drop what is not *kept* (digests by repository) and start; raise Refused when that fails."""
        self._end_earlier()
        self._configure()
        self._sweep(kept)
        self._watcher.start()
        try:
            self.wait(patience)
        except Unavailable as error:
            self.stop()
            raise Refused(
                f"the image registry does not start: `{self._program} serve {self._folder / 'config.json'}`"
                " says why"
            ) from error

    def stop(self) -> None:
        """End the process and wait for its end."""
        self._ending.set()
        if self._process is not None:
            self._process.terminate()
        if self._watcher.is_alive():
            self._watcher.join(timeout=10)
        self._keeper.close()

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return None if self._process is None else self._process.pid

    def wait(self, patience: float) -> None:
        """Return as soon as the registry answers; raise Unavailable after *patience* seconds."""
        deadline = time.monotonic() + patience
        while not self._answers():
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

    @property
    def _record(self) -> Path:
        return self._folder / "process.json"

    def _repository(self, name: str) -> Path:
        return self._folder / REPOSITORIES / name

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), contextlib.closing(SocketConnection(self.socket, 5)) as connection:
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 200
        return False

    def _configure(self) -> None:
        document = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self._folder / "data")},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": {
                "net": "unix",
                "addr": self.socket.name,  # relative: a socket's path is short
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
        self._garbage.unlink(missing_ok=True)

    def _manifests(self) -> Iterator[Path]:
        return (self._folder / REPOSITORIES).glob("**/_manifests/revisions/*/*")

    def _collect(self) -> None:
        command = [self._program, "garbage-collect", "config.json"]
        done = subprocess.run(
            command, cwd=self._folder, env={}, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode:
            logger.warning("the registry could not give back room: %s", done.stderr.strip()[-500:])

    def _watch(self) -> None:
        pause = 0.1
        while not self._ending.is_set():
            began = time.monotonic()
            code = self._run()
            if self._ending.is_set():
                return
            pause = 0.1 if time.monotonic() - began > 10 else min(2 * pause, LONGEST_PAUSE)
            logger.warning("the image registry ended with code %s: it is started again", code)
            self._ending.wait(pause)

    def _run(self) -> int:
        """Run the process to its end; its own words go to the registry's log."""
        mark, said = secrets.token_hex(8), self._folder / "log"
        if said.exists() and said.stat().st_size > LOG_BYTES:
            said.replace(said.with_suffix(".1"))
        with said.open("ab") as log:
            process = subprocess.Popen(
                [self._program, "serve", "config.json"],
                cwd=self._folder,
                env={MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._process = process
        began = keeper.started(process.pid)
        write_aside(self._record, json.dumps({"pid": process.pid, "started": began}).encode())
        self._keeper.tell(f"+{process.pid} {began} {MARK}={mark}")
        if self._ending.is_set():
            process.terminate()
        code = process.wait()
        self._keeper.tell(f"-{process.pid}")
        self._record.unlink(missing_ok=True)
        return code

    def _end_earlier(self) -> None:
        """End a process that a killed cloud left behind."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            record = json.loads(self._record.read_text())
            keeper.kill_group(record["pid"], record["started"])
        self._record.unlink(missing_ok=True)


def _program() -> str:
    """Return where the registry's program is, or say how to get it."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/bin", "/usr/bin"])
    found = shutil.which(PROGRAM, path=path)
    if found is None:
        raise Refused(
            f"the Docker engine needs a registry for its images, and there is no `{PROGRAM}` on this machine:"
            f" install it (Debian: `apt-get install {PROGRAM}`), or use `--engine process`"
        )
    return found
