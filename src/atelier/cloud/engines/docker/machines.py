"""Machines: containers that boot, run containers of their own beside them, and keep disks."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tarfile
from collections.abc import Callable, Mapping
from typing import Any

from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import LogConfig, Mount

from atelier.cloud.context import Machine, Refused
from atelier.cloud.engines.docker.client import FAILURES, explain
from atelier.cloud.engines.docker.running import DockerRunning, Suspicions

LABEL = "atelier.home"
MACHINE = "atelier.machine"
"""Marks a machine, and the containers that it runs, with its name."""
DISK = "atelier.disk"
"""Marks Docker's volumes that make up a machine's disk, with the disk's name."""

CLIENT = "/opt/machine/docker"
SOCKET = "/var/run/docker.sock"
LOG = LogConfig(type="json-file", config={"max-size": "1m"})
REST = 5
"""Seconds that containers of a machine which ends have to end themselves."""

logger = logging.getLogger(__name__)


class DockerMachines:
    """The machines of one home."""

    def __init__(self, api: Any, label: str, host: str, *, is_here: bool) -> None:
        self._api, self._label, self._host, self._is_here = api, label, host, is_here

    def build(self, image: str, files: Mapping[str, bytes]) -> None:
        """Build the image of machines from *files*, unless it is there; raise Refused when that fails."""
        try:
            with contextlib.suppress(ImageNotFound):
                self._api.inspect_image(image)
                return
            for step in self._api.build(
                fileobj=_context(files), custom_context=True, tag=image, rm=True, forcerm=True, decode=True,
                network_mode=None if self._api.networks(names=["bridge"]) else "host",
            ):  # fmt: skip
                if "error" in step:
                    raise Refused(f"the image of machines cannot be built: {step['error'].strip()}")
        except FAILURES as error:
            raise Refused(f"the image of machines cannot be built: {explain(error)}") from error

    def boot(self, machine: Machine) -> DockerRunning:
        """Start a machine; its containers end with it. Raise Refused when it cannot be started."""
        client = self._client()
        try:
            self._remove(machine.name)
            for disk in machine.disks.values():
                self._api.create_volume(disk, labels=self._marks(**{DISK: disk}))
            identifier = self._api.create_container(**self._options(machine, client))["Id"]
            output = self._api.attach(identifier, stream=True, demux=True)
            self._api.start(identifier)
        except FAILURES as error:
            with contextlib.suppress(*FAILURES):
                self._remove(machine.name)
            raise Refused(f"machine {machine.name} cannot be started: {explain(error)}") from error
        return DockerRunning(
            self._api, identifier, output,
            log=machine.log, suspicions=Suspicions("this machine's memory"), ended=self._end(machine.name),
        )  # fmt: skip

    def remove_disk(self, name: str) -> None:
        """Remove a disk with all that is on it; one that is not there is removed already."""
        try:
            found = self._api.volumes(filters={"label": f"{DISK}={name}"})["Volumes"] or ()
            for each in found:
                self._api.remove_volume(each["Name"], force=True)
        except FAILURES as error:
            raise Refused(f"volume {name} cannot be removed: {explain(error)}") from error

    def _client(self) -> str:
        """Return this machine's docker client, with which machines speak to the engine."""
        if not self._is_here or not self._host.startswith("unix://"):
            raise Refused(
                f"machines need an engine of this machine at a socket of it, and not {self._host}: instances"
                " share its network and run containers by it"
            )
        found = shutil.which("docker")
        if found is None:
            raise Refused("machines need a docker client: install docker-ce-cli or docker.io on this machine")
        return found

    def _options(self, machine: Machine, client: str) -> dict[str, Any]:
        mounts = [
            Mount(SOCKET, self._host.removeprefix("unix://"), type="bind"),
            Mount(CLIENT, client, type="bind", read_only=True),
            *(Mount(place, disk, type="volume") for place, disk in machine.disks.items()),
        ]
        own = {"MACHINE_NAME": machine.name, "MACHINE_LABEL": f"{LABEL}={self._label}"}
        return {
            "image": machine.image,
            "name": machine.name,
            "hostname": machine.hostname,
            "environment": {**machine.environment, **own},
            "labels": self._marks(**{MACHINE: machine.name}),
            "use_config_proxy": False,
            "host_config": self._api.create_host_config(mounts=mounts, log_config=LOG, network_mode="host"),
        }

    def _marks(self, **more: str) -> dict[str, str]:
        return {LABEL: self._label, **more}

    def _end(self, name: str) -> Callable[[], None]:
        def end() -> None:
            try:
                self._remove(name)
            except FAILURES as error:
                logger.warning("containers of %s are left: %s", name, explain(error))

        return end

    def _remove(self, name: str) -> None:
        """Remove a machine's containers; they may end themselves first."""
        for each in self._api.containers(all=True, filters={"label": f"{MACHINE}={name}"}):
            with contextlib.suppress(NotFound):
                with contextlib.suppress(APIError):
                    self._api.stop(each["Id"], timeout=REST)
                self._api.remove_container(each["Id"], force=True, v=True)


def _context(files: Mapping[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(body), 0o755
            archive.addfile(entry, io.BytesIO(body))
    buffer.seek(0)
    return buffer
