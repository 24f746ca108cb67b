"""The registry of a cloud whose containers are Docker's: its process and its front, while the cloud runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.engines import programs
from atelier.cloud.engines.distribution import Distribution
from atelier.cloud.services.ecr.serving import Application, Server, address
from atelier.cloud.services.ecr.storage import FileStorage, RegistryStorage, Storage


@dataclass(frozen=True)
class Live:
    """What runs for one cloud."""

    storage: RegistryStorage
    server: Server


_clouds: dict[Path, Live] = {}
_lock = threading.Lock()


def storage(cloud: Cloud) -> Storage:
    """Return where this cloud keeps images."""
    if cloud.engine.name != "docker":
        return FileStorage(cloud)
    live = _clouds.get(cloud.home)
    if live is None:
        raise Refused("the image registry is not up yet: try again in a moment")
    return live.storage


def start(cloud: Cloud, front: Callable[[Cloud, RegistryStorage], Application]) -> None:
    """Start the registry of a cloud whose containers are Docker's; others need none."""
    if cloud.engine.name == "docker":
        with _lock:
            _clouds[cloud.home] = _started(cloud, front)


def stop(cloud: Cloud) -> None:
    """End the front, then the registry behind it."""
    with _lock:
        live = _clouds.pop(cloud.home, None)
    if live is not None:
        live.server.stop()
        live.storage.distribution.stop()


def _started(cloud: Cloud, front: Callable[[Cloud, RegistryStorage], Application]) -> Live:
    folder = cloud.home / "registry"
    distribution = Distribution(folder, programs.find(cloud.engine, folder))
    listener = address(cloud.home / "state" / "registry-port")
    kept: dict[str, set[str]] = {}
    for key, _ in cloud.store.table("ecr.images").items():
        repository, _, digest = key.rpartition("@")
        kept.setdefault(repository, set()).add(digest)
    try:
        distribution.start(kept)
    except BaseException:
        listener.close()
        raise
    host = "{}:{}".format(*listener.getsockname())
    store = RegistryStorage(distribution, host)
    server = Server(listener, front(cloud, store))
    server.start(cloud)
    return Live(store, server)
