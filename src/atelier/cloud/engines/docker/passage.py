"""The one way into a container that is isolated from every network.

It has a loopback interface of its own and nothing else. A second container of the same image, in the same
network and without any other, hands on what comes through a Unix socket in a folder that we share with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker.types import Mount

from atelier.cloud.context import Container, Refused
from atelier.cloud.engines.docker import forwarder
from atelier.cloud.engines.docker.client import FAILURES
from atelier.cloud.engines.sockets import short

SHARED = "/run/atelier"
SOCKET = "socket"
MEMORY = 64 << 20
OPEN_WITHIN = 20.0


class Passage:
    """Leads from a port of our loopback interface into one isolated container."""

    def __init__(self, api: Any, container: Container, labels: Mapping[str, str]) -> None:
        self._api, self._container, self._labels = api, container, dict(labels)
        if container.root is None:
            raise Refused(f"container {container.name}: one that serves in isolation needs a folder")
        self._folder = container.root / "passage"
        self._listener: socket.socket | None = None
        self._id: str | None = None

    def open(self, identifier: str) -> None:
        """Lead into the running container *identifier*; raise Refused when its image cannot help in that."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)
        address = ("127.0.0.1", self._container.port or 0)
        self._listener = socket.create_server(address, backlog=forwarder.BACKLOG)
        self._id = self._create(identifier)
        self._api.start(self._id)
        self._await()
        arguments = (self._listener, self._connect)
        threading.Thread(target=forwarder.carry, args=arguments, daemon=True).start()

    def close(self) -> None:
        """Let nothing through any more."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
            self._listener.close()
        if self._id is not None:
            with contextlib.suppress(*FAILURES):
                self._api.remove_container(self._id, force=True, v=True)

    def _await(self) -> None:
        deadline = time.monotonic() + OPEN_WITHIN
        while not (self._folder / SOCKET).exists():
            state = self._api.inspect_container(self._id)["State"]
            if not state["Running"] or time.monotonic() > deadline:
                said = self._api.logs(self._id).decode(errors="replace").strip().rpartition("\n")[2]
                raise Refused(
                    f"container {self._container.name}: an isolated endpoint is reached by the python3 of its"
                    f" image here, and that did not start: {said or state.get('Error') or 'no reason given'}"
                )
            time.sleep(0.02)

    def _create(self, identifier: str) -> str:
        source = Path(forwarder.__file__).read_text(encoding="utf-8")
        created = self._api.create_container(
            image=self._container.image,
            entrypoint=["python3", "-c", source, f"{SHARED}/{SOCKET}"],
            user=f"{os.getuid()}:{os.getgid()}",  # the socket is ours then
            labels=self._labels,
            use_config_proxy=False,
            host_config=self._api.create_host_config(
                mounts=[Mount(SHARED, str(self._folder), type="bind")],
                network_mode=f"container:{identifier}",
                mem_limit=MEMORY,
                memswap_limit=MEMORY,
            ),
        )
        return str(created["Id"])

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            with short(self._folder / SOCKET) as address:
                connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection
