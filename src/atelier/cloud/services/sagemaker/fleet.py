"""The serving container of one deployment: started, watched, restarted, drained."""

from __future__ import annotations

import http.client
import logging
import shutil
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atelier.cloud.context import Cloud, Container, Refused, Running
from atelier.cloud.services.sagemaker.access import Access, Log, RoleError
from atelier.cloud.services.sagemaker.settings import Settings
from atelier.cloud.services.sagemaker.storage import download, unpack

LOGS = "/aws/sagemaker/Endpoints"
TAIL_LINES = 8
PING_TIMEOUT = 2.0
LOG_PATIENCE = 30.0
STEADY = 60.0
"""After so many seconds of running, a crash counts as the first."""

logger = logging.getLogger(__name__)


class Unhealthy(Exception):
    """A container that did not come into service; the text says why."""


class Closed(Exception):
    """A fleet that takes no more requests: another one has its place."""


class Fleet:
    """The one container of a deployment. *deployment* is what the endpoint's record says of it."""

    def __init__(self, cloud: Cloud, settings: Settings, endpoint: str, deployment: dict[str, Any]) -> None:
        self.id: str = deployment["Id"]
        self.variant: str = deployment["VariantName"]
        self.port: int | None = None
        self._cloud = cloud
        self._settings = settings
        self._endpoint = endpoint
        self._deployment = deployment
        self._access = Access(cloud, deployment["ExecutionRoleArn"], f"{endpoint}-{self.id}"[:64])
        self._folder = home(cloud, endpoint) / self.id
        self._stream = f"{self.variant}/{self.id}"
        self._log: Log | None = None
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._running: Running | None = None
        self._condition = threading.Condition()
        self._requests = 0
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None

    def open(self) -> None:
        """Fetch the model, start the container and wait until it is healthy; raise what went wrong."""
        self._fetch()
        self._log = self._access.log(f"{LOGS}/{self._endpoint}", self._stream)
        self._launch()
        self._watcher = self._cloud.spawn(self._watch)

    @contextmanager
    def request(self) -> Iterator[int | None]:
        """Lend the port for one request (None: the container is down); raise Closed after the drain began."""
        with self._condition:
            if self._closing.is_set():
                raise Closed
            self._requests += 1
        try:
            yield self.port
        finally:
            with self._condition:
                self._requests -= 1
                self._condition.notify_all()

    def log_stream_arn(self) -> str:
        """Return where the container's log is."""
        return self._cloud.arn("logs", f"log-group:{LOGS}/{self._endpoint}:log-stream:{self._stream}")

    def cancel(self) -> None:
        """Let an `open` in another thread end soon, unhealthy."""
        self._closing.set()

    def close(self, *, grace: float | None = None, keep: bool = False) -> None:
        """Finish the requests that run, stop the container; with *keep* its model stays on disk."""
        with self._condition:
            self._closing.set()
            self._condition.wait_for(
                lambda: not self._requests, self._settings.drain_timeout if grace is None else grace
            )
        if self._running is not None:
            self._running.stop(self._settings.serving_grace if grace is None else grace)
        if self._watcher is not None:
            self._watcher.join()
        if self._log is not None:
            self._log.close(LOG_PATIENCE if grace is None else grace)
        if not keep:
            remove(self._folder)

    def _fetch(self) -> None:
        """Bring the model to disk, unless an earlier run of the cloud did."""
        model = self._folder / "model"
        if model.exists():
            return
        making = self._folder / "model.part"
        remove(making)
        making.mkdir(parents=True)
        if url := self._deployment.get("ModelDataUrl"):
            archive = self._folder / "model.tar.gz"
            with self._access.client("s3") as s3:
                download(s3, url, archive, check=self._check)
            unpack(archive, making)
            archive.unlink()
        seal(making)
        making.rename(model)

    def _check(self) -> None:
        if self._closing.is_set():
            raise Unhealthy("the local cloud was stopped during the deployment")

    def _launch(self) -> None:
        port = free_port()
        container = self._container(port)
        with self._condition:  # after `close` has begun, nothing starts
            self._check()
            self._tail.clear()
            self._running = running = self._cloud.engine.start(container)
        try:
            self._await_ping(running, port)
        except Unhealthy:
            running.stop(self._settings.shutdown_grace)
            raise
        self.port = port

    def _container(self, port: int) -> Container:
        def line(text: str) -> None:
            self._tail.append(text)
            self._say(text)

        environment = {
            **self._deployment.get("Environment", {}),
            **self._access.environment(),
            "SAGEMAKER_BIND_TO_PORT": str(port),
        }
        return Container(
            name=f"endpoint-{self._endpoint}-{self.id}",
            image=self._deployment["Image"]["ResolvedImage"],
            arguments=("serve",),
            environment=environment,
            root=self._folder,
            port=port,
            log=line,
        )

    def _await_ping(self, running: Running, port: int) -> None:
        patience = self._deployment.get("StartupTimeout", self._settings.startup_timeout)
        patience = min(patience, self._settings.startup_timeout_limit)
        deadline = time.monotonic() + patience
        answer = "no answer"
        while time.monotonic() < deadline:
            code = running.wait(0)
            if code is not None:
                raise Unhealthy(self._explain(f"exited with code {code} before it answered /ping"))
            self._check()
            answer = ping(port)
            if answer == "200":
                return
            time.sleep(self._settings.ping_interval)
        raise Unhealthy(
            self._explain(f"did not pass the ping health check within {patience:g} seconds (last: {answer})")
        )

    def _explain(self, what: str) -> str:
        said = "; its last log lines: " + "\n".join(self._tail) if self._tail else ""
        return (
            f"The primary container for production variant {self.variant} {what}. Please check CloudWatch"
            f" logs for this endpoint{said}"
        )

    def _watch(self) -> None:
        """Start the container again whenever it ends by itself."""
        delay = self._settings.restart_delay
        while not self._closing.is_set():
            since = time.monotonic()
            code = self._running.wait() if self._running is not None else None
            self.port = None
            if self._closing.is_set():
                return
            if time.monotonic() - since > STEADY:
                delay = self._settings.restart_delay
            logger.warning("%s: container exited with %s, starting it again", self._endpoint, code)
            self._say(f"[atelier] the container exited with code {code}; it is started again in {delay:g} s")
            if self._closing.wait(delay):
                return
            delay = min(delay * 2, self._settings.restart_delay_limit)
            self._relaunch()

    def _relaunch(self) -> None:
        try:
            self._launch()
        except (Unhealthy, Refused, RoleError, OSError) as error:
            logger.warning("%s: %s", self._endpoint, error)
            self._say(f"[atelier] {error}")

    def _say(self, line: str) -> None:
        if self._log is not None:
            self._log(line)


def home(cloud: Cloud, endpoint: str) -> Path:
    """Return the folder of an endpoint's deployments."""
    return cloud.home / "sagemaker" / "endpoints" / endpoint


def ping(port: int) -> str:
    """Return the status of GET /ping, or what kept it from answering."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PING_TIMEOUT)
    try:
        connection.request("GET", "/ping")
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def seal(folder: Path) -> None:
    """Make a folder read-only, as SageMaker mounts a model."""
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() else 0o444)


def remove(folder: Path) -> None:
    """Remove a folder, sealed or not."""
    for path in [folder, *folder.rglob("*")] if folder.exists() else []:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
