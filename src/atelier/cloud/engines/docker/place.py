"""Where an engine's containers are, seen from here: which network and which files they share with us."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from atelier.cloud.context import Container, Refused
from atelier.cloud.engines.docker.client import FAILURES
from atelier.cloud.engines.docker.forwarder import INSIDE

LOOPBACK = "127.0.0.1"
GATEWAY = "host.docker.internal"
CALL_PATIENCE = 1.0
"""Seconds in which a call that was made is noticed."""


@dataclass(frozen=True)
class Place:
    """An engine that shares our loopback interface, or one in a virtual machine of ours."""

    is_here: bool
    """Whether ``network_mode="host"`` is this machine's network, and files keep their owners."""

    def network(self, container: Container) -> dict[str, Any]:
        """Return the host configuration of a container's network."""
        if container.is_isolated:
            return {"network_mode": "none"}
        if self.is_here:
            return {"network_mode": "host"}
        ports = {each: (container.address, container.port) for each in self.ports(container) or ()}
        return {"network_mode": "bridge", "port_bindings": ports}

    def ports(self, container: Container) -> list[int] | None:
        """Return the ports that the container shows where it does not share our interface."""
        if self.is_here or container.port is None:
            return None
        return [container.port if container.root is None else INSIDE]

    def variables(self, container: Container) -> dict[str, str]:
        """Return a container's environment, with addresses that are right inside of it."""
        given = container.environment
        if container.is_isolated:
            return dict(given)
        if not self.is_here:
            endpoint = given.get("AWS_ENDPOINT_URL")
            return {**given, "AWS_ENDPOINT_URL": _from_inside(endpoint)} if endpoint else dict(given)
        own = {} if container.port is None else {"SAGEMAKER_BIND_TO_PORT": str(container.port)}
        return {**given, "BIND_HOST": container.address, **own}

    def hosts(self, container: Container) -> dict[str, str]:
        """Return the names that a container knows besides those of DNS: its own, as on SageMaker."""
        own = {container.hostname: LOOPBACK} if container.hostname else {}
        return own if self.is_here or container.is_isolated else {**own, GATEWAY: "host-gateway"}

    def user(self) -> str | None:
        """Return whom a container must run as for us to read and remove what it writes, if that matters."""
        return f"{os.getuid()}:{os.getgid()}" if self.is_here and os.getuid() else None


def of(info: Mapping[str, Any], host: str) -> Place:
    """Return where the engine at *host* is, by what it says of itself; refuse one that is out of reach."""
    if info.get("OSType") != "linux":
        raise Refused(f"the Docker engine at {host} runs {info.get('OSType')} containers; Linux is needed")
    is_rootless = any("rootless" in each for each in info.get("SecurityOptions") or [])
    is_ours = (info.get("Name"), info.get("KernelVersion")) == (socket.gethostname(), platform.release())
    if is_ours and not is_rootless:
        return Place(is_here=True)
    is_desktop = platform.system() != "Linux" or info.get("OperatingSystem") == "Docker Desktop"
    if is_desktop:
        return Place(is_here=False)
    why = "is rootless" if is_rootless else f"runs on another machine ({info.get('Name')})"
    raise Refused(
        f"the Docker engine at {host} {why}: its containers reach neither this cloud's address nor its files."
        " Use an engine of this machine (DOCKER_HOST), or --engine process"
    )


def check_registry_in_reach(api: Any, host: str) -> None:
    """Refuse an engine that cannot pull from our loopback interface, where the registry's front listens."""
    listener, called = socket.create_server((LOOPBACK, 0)), threading.Event()
    port = listener.getsockname()[1]

    def answer() -> None:
        with contextlib.suppress(OSError), listener:  # whoever tries again, by HTTP, finds it closed
            listener.accept()[0].close()
            called.set()

    threading.Thread(target=answer, daemon=True).start()
    with contextlib.suppress(*FAILURES):
        api.pull(f"{LOOPBACK}:{port}/probe", tag="probe")
    if not called.wait(CALL_PATIENCE):
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        raise Refused(
            f"the Docker engine at {host} is in a virtual machine from which 127.0.0.1 of this machine is"
            " out of reach, and with it the registry of this cloud's images"
        )


def _from_inside(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(netloc=f"{GATEWAY}:{parts.port}"))
