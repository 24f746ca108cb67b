"""The parent's side of the local cloud: start it, stop it, find it."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import secrets
import socket
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier.cloud.context import Refused
from atelier.cloud.gateway import containers, environment, processes
from atelier.cloud.gateway.environment import default_cache as default_cache
from atelier.cloud.gateway.settings import ACCOUNT, HOST, REGION, Home

READY_WITHIN = 30.0
STOP_WITHIN = 20.0
LOG_SIZE = 10_000_000


class NotRunning(Refused):
    """No local cloud serves this home."""


class CannotStart(Refused):
    """The local cloud could not be started; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach a running local cloud, as its administrator."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str
    account: str

    def environment(self) -> dict[str, str]:
        """Return the variables that point every AWS SDK at this cloud."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        }


@dataclass(frozen=True, kw_only=True)
class Status:
    """What is known of the cloud of a home."""

    home: str
    running: bool
    endpoint: str | None = None
    pid: int | None = None
    memory: int | None = None
    """Resident bytes of the server process."""
    account: str = ACCOUNT
    region: str = REGION
    engine: str | None = None
    """What runs containers (``docker``, ``process``), also of a cloud that is down."""
    engine_reason: str | None = None


def default_home() -> Path:
    """Return ``$ATELIER_HOME``, or ``.atelier`` in the current directory."""
    return Path(os.environ.get("ATELIER_HOME") or ".atelier").absolute()


def start(
    home: Path, port: int | None = None, log_level: str = "INFO", engine: str | None = None
) -> Connection:
    """Start the cloud of *home* and wait until it answers; one that runs already is returned as it is.

    *engine* is what runs its containers: ``auto``, ``docker`` or ``process`` (None: ``$ATELIER_ENGINE``).
    """
    wish = engine or os.environ.get("ATELIER_ENGINE") or "auto"
    places = Home(root=home.absolute())
    places.make()
    with _alone(places):
        if running := _running(places):
            return _already(places, running, port, wish)
        places.running.unlink(missing_ok=True)
        _credentials(places)
        with _listen(places, port) as listener:
            _serve(places, listener, log_level, wish)
        return connection(home)


def stop(home: Path) -> bool:
    """Stop the cloud of *home*; say whether one ran. Its state stays."""
    places = Home(root=home.absolute())
    if not places.root.exists():
        return False
    with _alone(places):
        running, clean = _running(places), False
        if running:
            clean = processes.end(running["pid"], running["started"], grace=STOP_WITHIN)
            _reap(running["pid"])
        if not clean:
            containers.remove(places)
        places.running.unlink(missing_ok=True)
        return running is not None


def status(home: Path) -> Status:
    """Return what runs for *home*; a file that a dead process left behind counts as nothing."""
    places = Home(root=home.absolute())
    running = _running(places)
    if running is None:
        return Status(home=str(places.root), running=False, engine=containers.kept(places))
    return Status(
        home=str(places.root),
        running=True,
        endpoint=running["endpoint"],
        pid=running["pid"],
        memory=processes.memory(running["pid"]),
        engine=running.get("engine"),
        engine_reason=running.get("engine_reason"),
    )


def connection(home: Path) -> Connection:
    """Return how to reach the cloud of *home*; raise NotRunning when there is none."""
    places = Home(root=home.absolute())
    running = _running(places)
    if running is None:
        raise NotRunning(f"no local cloud runs for {places.root}: start one with `atelier up`")
    return Connection(
        endpoint=running["endpoint"],
        region=running["region"],
        account=running["account"],
        **_credentials(places),
    )


def _already(places: Home, running: dict[str, Any], port: int | None, wish: str) -> Connection:
    if port not in (None, running["port"]):
        raise CannotStart(
            f"the cloud of {places.root} runs already, on port {running['port']}: "
            f"stop it with `atelier down` before you move it to port {port}"
        )
    if wish not in ("auto", running.get("engine", "process")):
        raise CannotStart(
            f"the cloud of {places.root} runs already, with the {running.get('engine', 'process')} engine: "
            f"stop it with `atelier down` before you start it with {wish}"
        )
    return connection(places.root)


def _running(places: Home) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(places.running.read_text(encoding="utf-8"))
        alive = processes.started(record["pid"]) == record["started"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if alive else None


@contextlib.contextmanager
def _alone(places: Home) -> Iterator[None]:
    """Let one process at a time start or stop the cloud of a home."""
    descriptor = os.open(places.root / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _credentials(places: Home) -> dict[str, str]:
    """Return the administrator's key, made at the first start."""
    if not places.credentials.exists():
        _write_privately(places.credentials, json.dumps(_new_key()))
    try:
        read: dict[str, str] = json.loads(places.credentials.read_text(encoding="utf-8"))
        return {"access_key": read["access_key"], "secret_key": read["secret_key"]}
    except (ValueError, KeyError, TypeError) as error:
        raise CannotStart(
            f"{places.credentials} holds no credentials: remove it, and the next start makes new ones"
        ) from error


def _new_key() -> dict[str, str]:
    letters = string.ascii_uppercase + "234567"
    name = "AKIA" + "".join(secrets.choice(letters) for _ in range(16))
    return {"access_key": name, "secret_key": secrets.token_urlsafe(30)}


def _write_privately(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def _listen(places: Home, port: int | None) -> socket.socket:
    """Bind the port here, so that a taken one is told at once and nobody can take it in between."""
    if port is not None:
        return _bound(port)
    with contextlib.suppress(OSError, ValueError, CannotStart):
        return _bound(int(places.port.read_text(encoding="ascii")))
    return _bound(0)


def _bound(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(256)
    except (OSError, OverflowError) as error:
        listener.close()
        why = "is taken by another program" if isinstance(error, OSError) else "is no port number"
        if isinstance(error, PermissionError):
            why = "may not be opened by this user"
        raise CannotStart(
            f"port {port} {why}: name another one with `atelier up --port N`, or none to get a free one"
        ) from error
    return listener


def _serve(places: Home, listener: socket.socket, log_level: str, engine: str) -> None:
    if places.log.exists() and places.log.stat().st_size > LOG_SIZE:
        places.log.replace(places.log.with_suffix(".log.1"))
    descriptor = os.open(places.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    started_at = os.fstat(descriptor).st_size
    command = [sys.executable, "-m", "atelier.cloud.gateway.serve", str(places.root), str(listener.fileno())]
    try:
        child = subprocess.Popen(
            command,
            cwd=places.root,
            env=environment.of_server(places, listener.getsockname()[1], log_level, engine),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            pass_fds=(listener.fileno(),),
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    _children[child.pid] = child
    _await(places, child, started_at)


_children: dict[int, subprocess.Popen[bytes]] = {}


@atexit.register
def _reap_killed() -> None:
    """Take note of clouds that ended without our doing: nothing is left to complain of at the end."""
    for child in _children.values():
        child.poll()


def _reap(pid: int) -> None:
    if child := _children.pop(pid, None):
        child.wait()


def _await(places: Home, child: subprocess.Popen[bytes], started_at: int) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while _running(places) is None:
        late = time.monotonic() > deadline
        if late or child.poll() is not None:
            child.kill()
            _reap(child.pid)
            raise CannotStart(_reason(places, started_at, late=late))
        time.sleep(0.02)


def _reason(places: Home, started_at: int, *, late: bool) -> str:
    with places.log.open("rb") as log:
        log.seek(started_at)
        lines = log.read().decode(errors="replace").strip().splitlines()
    said = next((each for each in reversed(lines) if each.startswith("cannot start: ")), "")
    why = said.removeprefix("cannot start: ") or (
        f"it was not ready within {READY_WITHIN:.0f} seconds" if late else "it ended at once"
    )
    return f"the local cloud did not start: {why} (log: {places.log})"
