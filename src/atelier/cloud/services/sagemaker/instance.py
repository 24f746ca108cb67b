"""One instance of a deployment: its serving container, started, watched, restarted, drained."""

from __future__ import annotations

import http.client
import logging
import os
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
from atelier.cloud.services.sagemaker.capacity import size_of
from atelier.cloud.services.sagemaker.settings import Settings

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
    """An instance or a fleet that takes no more requests: another one has its place."""


class Instance:
    """One container of a deployment. *deployment* is what the endpoint's record says of it."""

    def __init__(
        self,
        cloud: Cloud,
        settings: Settings,
        endpoint: str,
        deployment: dict[str, Any],
        *,
        number: int,
        access: Access,
        model: Path,
    ) -> None:
        self.number = number
        self.id: str = f"{deployment['Id']}-{number}" if number else deployment["Id"]
        self.variant: str = deployment["VariantName"]
        self.port: int | None = None
        self._cloud = cloud
        self._settings = settings
        self._endpoint = endpoint
        self._deployment = deployment
        self._access = access
        self._model = model
        self._folder = model.parent / "instances" / str(number)
        self._stream = f"{self.variant}/{self.id}"
        self._log: Log | None = None
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._running: Running | None = None
        self._condition = threading.Condition()
        self._requests = 0
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None

    def open(self) -> None:
        """Start the container and wait until it is healthy; raise what went wrong."""
        self._place_model()
        self._log = self._access.log(f"{LOGS}/{self._endpoint}", self._stream)
        self._launch()
        self._watcher = self._cloud.spawn(self._watch)

    def load(self) -> int:
        """Return how many requests it has."""
        return self._requests

    def claim(self) -> None:
        """Count a request that is about to come; raise Closed after the drain began."""
        with self._condition:
            if self._closing.is_set():
                raise Closed
            self._requests += 1

    def release(self) -> None:
        """Count a request as answered."""
        with self._condition:
            self._requests -= 1
            self._condition.notify_all()

    @contextmanager
    def request(self) -> Iterator[int | None]:
        """Lend the port for one request (None: the container is down); raise Closed after the drain began."""
        self.claim()
        try:
            yield self.port
        finally:
            self.release()

    def log_stream_arn(self) -> str:
        """Return where the container's log is."""
        return self._cloud.arn("logs", f"log-group:{LOGS}/{self._endpoint}:log-stream:{self._stream}")

    def cancel(self) -> None:
        """Let an `open` in another thread end soon, unhealthy."""
        self._closing.set()

    def close(self, *, grace: float | None = None, drain: float | None = None) -> None:
        """Finish the requests that run, for at most *drain* seconds, and stop the container."""
        patience = self._settings.drain_timeout if drain is None else drain
        with self._condition:
            self._closing.set()
            self._condition.wait_for(lambda: not self._requests, patience if grace is None else grace)
        if self._running is not None:
            self._running.stop(self._settings.serving_grace if grace is None else grace)
        if self._watcher is not None:
            self._watcher.join()
        if self._log is not None:
            self._log.close(LOG_PATIENCE if grace is None else grace)
        remove(self._folder)

    def _place_model(self) -> None:
        """Give the container a /opt/ml of its own; the model's files are the deployment's, by hard links."""
        remove(self._folder)
        self._folder.mkdir(parents=True)
        shutil.copytree(self._model, self._folder / "model", copy_function=os.link, symlinks=True)

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

        is_isolated = self._deployment.get("EnableNetworkIsolation", False)
        environment = {
            **self._deployment.get("Environment", {}),
            **({} if is_isolated else self._access.environment()),  # as on SageMaker
        }
        return Container(
            name=f"endpoint-{self._endpoint}-{self.id}",
            image=self._deployment["Image"]["ResolvedImage"],
            arguments=("serve",),
            environment=environment,
            root=self._folder,
            port=port,
            size=size_of(self._deployment["InstanceType"]) if "InstanceType" in self._deployment else None,
            is_isolated=is_isolated,
            login=self._access.login,
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
                raise Unhealthy(self._explain(f"{_ending(code, running)} before it answered /ping"))
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
            how = (
                _ending(self._running.wait(), self._running) if self._running is not None else "is not there"
            )
            self.port = None
            if self._closing.is_set():
                return
            if time.monotonic() - since > STEADY:
                delay = self._settings.restart_delay
            logger.warning("%s: container %s, starting it again", self._endpoint, how)
            self._say(f"[atelier] the container {how}; it is started again in {delay:g} s")
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


def _ending(code: int | None, running: Running) -> str:
    """Return how a container ended, and why, if more is known than its exit code."""
    why = f" ({running.fault.reason})" if running.fault is not None else ""
    return f"exited with code {code}{why}"


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


def remove(folder: Path) -> None:
    """Remove a folder, sealed or not."""
    for path in [folder, *folder.rglob("*")] if folder.exists() else []:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
