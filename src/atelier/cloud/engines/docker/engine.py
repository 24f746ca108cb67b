"""Starts, finds and removes this cloud's containers in a Docker engine."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import DeviceRequest, LogConfig, Mount

from atelier.cloud.context import Container, Login, Machines, Refused
from atelier.cloud.engines.docker import access, place
from atelier.cloud.engines.docker.client import FAILURES, TIMEOUT, connect, explain
from atelier.cloud.engines.docker.machines import LABEL, DockerMachines
from atelier.cloud.engines.docker.passage import Passage
from atelier.cloud.engines.docker.pull import pull
from atelier.cloud.engines.docker.running import DockerRunning, Suspicions
from atelier.cloud.engines.docker_client import install
from atelier.cloud.engines.images import ARCHITECTURES

NAME = "atelier.name"
LOG = LogConfig(type="json-file", config={"max-size": "1m"})
"""What `docker logs` shows; the whole log is in CloudWatch Logs."""

GIB = 1 << 30

logger = logging.getLogger(__name__)


class DockerEngine:
    """Starts images of the cloud's registry as containers."""

    name = "docker"
    isolates = True

    def __init__(self, home: Path, variables: Mapping[str, str], *, timeout: int = TIMEOUT) -> None:
        self._label = label(home)
        connect(variables, timeout=timeout).close()
        self._api: Any = connect(variables)
        self._info: Mapping[str, Any] = self._api.info()
        host = variables.get("DOCKER_HOST", "")
        self._place = place.of(self._info, host)
        if not self._place.is_here:
            place.check_registry_in_reach(self._api, host)
        has_bridge = bool(self._api.networks(names=["bridge"]))
        environment, mark = {**os.environ, **variables}, f"{LABEL}={self._label}"
        self.tools: Path | None = install(home / "tools", environment, label=mark, has_bridge=has_bridge)
        self.machines: Machines | None = DockerMachines(
            self._api, self._label, host, is_here=self._place.is_here
        )
        self._has_init = True

    def pull(self, image: str, login: Callable[[], Login], *, check: Callable[[], None]) -> None:
        """Fetch an image with what *login* returns; raise Refused when that cannot be."""
        pull(self._api, image, login, check=check)

    def has(self, image: str) -> bool:
        """Say whether an image is there already."""
        with contextlib.suppress(*FAILURES):
            return bool(self._api.inspect_image(image))
        return False

    def start(self, container: Container) -> DockerRunning:
        """Start a container; raise Refused when its image is not there, or Docker cannot start it."""
        if container.root is not None:
            container.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            image = self._image(container)
            access.open_to(container, image["Config"].get("User") or "")
            return self._start(container, image)
        except FAILURES as error:
            raise Refused(f"container {container.name} cannot be started: {explain(error)}") from error

    def clean(self) -> None:
        """Remove what an earlier run of this cloud left behind."""
        remove_all(self._api, self._label)

    def close(self) -> None:
        """Remove what still runs, and let go of the engine."""
        with contextlib.suppress(*FAILURES):
            self.clean()
        self._api.close()

    def _image(self, container: Container) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._api.inspect_image(container.image)
        except ImageNotFound:
            if container.login is None:
                raise
            self.pull(container.image, container.login, check=lambda: None)
            found = self._api.inspect_image(container.image)
        return found

    def _start(self, container: Container, image: dict[str, Any]) -> DockerRunning:
        identifier = self._api.create_container(**self._options(container, image))["Id"]
        try:
            output = self._api.attach(identifier, stream=True, demux=True)
            self._api.start(identifier)
            close = self._passage(container, identifier)
        except (Refused, *FAILURES) as error:
            with contextlib.suppress(*FAILURES):
                self._api.remove_container(identifier, force=True, v=True)
            if self._has_init and "docker-init" in explain(error):
                self._has_init = False
                return self._start(container, image)
            raise
        suspicions = Suspicions(self._memory(container), self._foreign(image))
        return DockerRunning(
            self._api, identifier, output, log=container.log, suspicions=suspicions, ended=close
        )

    def _passage(self, container: Container, identifier: str) -> Callable[[], None]:
        """Open the way into an isolated container that serves; return what closes it."""
        if container.port is None or not container.is_isolated:
            return lambda: None
        if not self._place.is_here:
            raise Refused(
                f"container {container.name}: a Docker engine in a virtual machine cannot isolate an endpoint"
                " from the network and still reach it; set EnableNetworkIsolation to false here"
            )
        passage = Passage(self._api, container, self._labels(container))
        try:
            passage.open(identifier)
        except (Refused, *FAILURES):
            passage.close()
            if self._api.inspect_container(identifier)["State"]["Running"]:
                raise  # else its own end says more
        return passage.close

    def _labels(self, container: Container) -> dict[str, str]:
        return {LABEL: self._label, NAME: container.name}

    def _options(self, container: Container, image: dict[str, Any]) -> dict[str, Any]:
        serves = container.port is not None
        user = None if serves or container.root is None else self._place.user()
        home = {"HOME": "/tmp", "USER": "atelier"} if user else {}
        variables = {**home, **self._place.variables(container)}
        return {
            "image": container.image,
            "entrypoint": list(container.entrypoint) or None,
            "command": list(container.arguments) or None,
            "name": f"{re.sub('[^a-zA-Z0-9_.-]', '-', container.name)}-{secrets.token_hex(4)}",
            "hostname": container.hostname,
            "user": user,
            "environment": variables,
            "labels": self._labels(container),
            "ports": self._place.ports(container),
            "use_config_proxy": False,
            "host_config": self._api.create_host_config(
                mounts=_mounts(container),
                init=self._has_init,
                log_config=LOG,
                extra_hosts=self._place.hosts(container),
                **self._place.network(container),
                **self._limits(container),
            ),
        }

    def _limits(self, container: Container) -> dict[str, Any]:
        """Return the limits of the instance type, and of this machine where that is smaller."""
        size = container.size
        if size is None:
            return {}
        memory = min(size.memory, self._info["MemTotal"])
        limits = {
            "mem_limit": memory,
            "memswap_limit": memory,
            "shm_size": memory // 2,  # as much as Linux itself gives to /dev/shm
            "nano_cpus": int(min(size.vcpus, self._info["NCPU"]) * 10**9),
        }
        if size.gpus and "nvidia" in self._info.get("Runtimes", {}):
            count = 1 if size.gpus == 1 else -1
            limits["device_requests"] = [DeviceRequest(count=count, capabilities=[["gpu"]])]
        return limits

    def _memory(self, container: Container) -> str:
        total: int = self._info["MemTotal"]
        size = container.size
        if size is None or size.memory > total:
            return f"the {total / GIB:.3g} GiB of memory that this machine has"
        return f"{size.memory / GIB:.3g} GiB of memory"

    def _foreign(self, image: Mapping[str, Any]) -> str | None:
        """Return what an image is built for if that is another processor than the engine's."""
        own = self._info["Architecture"]
        made_for = image.get("Architecture")
        is_foreign = made_for not in (own, ARCHITECTURES.get(own))
        return f"{image.get('Os', 'linux')}/{made_for}" if is_foreign else None


def label(home: Path) -> str:
    """Return what marks the containers of a home."""
    return hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:24]


def remove_all(api: Any, mark: str) -> None:
    """Remove the containers of one home, whatever they do."""
    for each in api.containers(all=True, filters={"label": f"{LABEL}={mark}"}):
        try:
            api.remove_container(each["Id"], force=True, v=True)
        except NotFound:
            continue
        except APIError as error:  # its removal is in progress: another one was faster
            logger.info("container %s: %s", each["Id"][:12], explain(error))


def _mounts(container: Container) -> list[Mount]:
    """Return what a container sees of this machine's folders."""
    given = [
        Mount(each.target, str(each.source), type="bind", read_only=each.is_read_only)
        for each in container.mounts
    ]
    return given if container.root is None else [_own(container.root, container), *given]


def _own(root: Path, container: Container) -> Mount:
    """Return what a container sees of its folder here: the whole to train, the model alone to serve."""
    if container.port is None:
        return Mount("/opt/ml", str(root), type="bind")
    return Mount("/opt/ml/model", str(root / "model"), type="bind", read_only=True)
