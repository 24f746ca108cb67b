"""The life of instances: booted, watched, shut down; what a stop of the cloud has interrupted."""

from __future__ import annotations

import collections
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atelier.cloud.context import Cloud, Machine, Machines, Refused, Running
from atelier.cloud.services.ec2 import images, volumes
from atelier.cloud.services.ec2.metadata import Metadata
from atelier.cloud.services.ec2.service import instances
from atelier.cloud.services.ec2.settings import Settings, load
from atelier.cloud.store import Record

DISKS = "/var/lib/docker/volumes"
"""Where an instance has its volume beside the root's: what it runs in containers keeps its volumes there."""

CONSOLE = 64 * 1024
"""Characters of an instance's console that are kept."""

FAILED = "Server.InternalError"
BY_ITSELF = "Client.InstanceInitiatedShutdown"

logger = logging.getLogger(__name__)

_states: dict[Path, Life] = {}


@dataclass
class Life:
    """The instances of one cloud that run."""

    cloud: Cloud
    settings: Settings
    metadata: Metadata
    running: dict[str, Running] = field(default_factory=dict)
    consoles: dict[str, collections.deque[str]] = field(default_factory=dict)
    building: threading.Lock = field(default_factory=threading.Lock)
    changing: threading.RLock = field(default_factory=threading.RLock)
    ending: bool = False

    def boot(self, id: str) -> None:
        """Boot an instance that is pending, in a thread of its own."""
        self.consoles.setdefault(id, collections.deque(maxlen=2000))
        self.cloud.spawn(self._boot, id)

    def shut_down(self, id: str, state: str, reason: tuple[str, str] | None = None) -> None:
        """Bring an instance to its end (``stopped`` or ``terminated``), in a thread of its own."""
        passing = "stopping" if state == "stopped" else "shutting-down"
        self.change(id, State=passing, Reason=reason)
        self.cloud.spawn(self._shut_down, id, state)

    def reboot(self, id: str) -> None:
        """Boot an instance again; it stays `running` for whoever looks."""
        self.cloud.spawn(self._reboot, id)

    def change(self, id: str, **values: Any) -> None:
        """Change an instance's record, if it is there."""
        with instances(self.cloud).lock:
            if id in instances(self.cloud):
                instances(self.cloud).change(id, **values)

    def console(self, id: str) -> str:
        """Return the last of what an instance wrote to its console."""
        return "".join(f"{line}\n" for line in list(self.consoles.get(id, ())))[-CONSOLE:]

    def _boot(self, id: str) -> None:
        record = instances(self.cloud).get(id)
        if record is None:
            return
        try:
            machine = self._start(record)
        except Refused as refused:
            self.consoles[id].append(f"boot: {refused}")
            self._unbooted(id, str(refused))
            return
        except Exception:  # the edge: an instance must not be pending for ever
            logger.exception("instance %s does not boot", id)
            self._unbooted(id, "see `atelier logs`")
            return
        if machine is not None:
            self._watch(id, machine)

    def _start(self, record: Record) -> Running | None:
        machines, id = engine(self.cloud), record["InstanceId"]
        with self.building:
            machines.build(images.tag(), images.files())
        with self.changing:
            state = (instances(self.cloud).get(id) or {}).get("State")
            if self.ending or state not in ("pending", "running"):  # ended before it began
                return None
            self.running[id] = machines.boot(self._machine(record))
            self.change(id, State="running", Reason=None, Booted=True)
            return self.running[id]

    def _unbooted(self, id: str, why: str) -> None:
        """End what does not boot; one that has run before is stopped, with its disks, and may start later."""
        with self.changing:
            record = instances(self.cloud).get(id) or {}
            if record.get("State") in ("pending", "running"):
                state = "stopped" if record.get("Booted") else "terminated"
                self._ended(id, state, (FAILED, why))

    def _machine(self, record: Record) -> Machine:
        id = record["InstanceId"]
        disk = next(
            (each["VolumeId"] for each in volumes.of_instance(self.cloud, id) if not _is_root(each)), None
        )
        return Machine(
            name=id,
            image=images.tag(),
            hostname=f"ip-{record['Address'].replace('.', '-')}",
            environment={
                "AWS_ENDPOINT_URL": self.cloud.endpoint,
                "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.metadata.open(id),
                **({"MACHINE_DISK": disk} if disk else {}),
            },
            disks={DISKS: disk} if disk else {},
            log=self.consoles[id].append,
        )

    def _watch(self, id: str, machine: Running) -> None:
        """Wait for a machine's end; one that came by itself is a shutdown from inside."""
        machine.wait()
        with self.changing:
            if self.ending or self.running.get(id) is not machine:
                return
            del self.running[id]
        record = instances(self.cloud).get(id) or {}
        if record.get("State") != "running":
            return
        reason = (BY_ITSELF, "Client.InstanceInitiatedShutdown: Instance initiated shutdown")
        if machine.fault is not None:
            reason = (FAILED, machine.fault.reason)
        self._ended(id, "terminated" if record["Shutdown"] == "terminate" else "stopped", reason)

    def _shut_down(self, id: str, state: str) -> None:
        self._halt(id)
        record = instances(self.cloud).get(id) or {}
        if record.get("State") in ("stopping", "shutting-down"):
            self._ended(id, state, record.get("Reason"))

    def _reboot(self, id: str) -> None:
        self._halt(id)
        record = instances(self.cloud).get(id) or {}
        if record.get("State") == "running":
            self._boot(id)

    def _halt(self, id: str) -> None:
        with self.changing:
            machine = self.running.pop(id, None)
        if machine is not None:
            machine.stop(self.settings.grace)

    def _ended(self, id: str, state: str, reason: tuple[str, str] | None) -> None:
        self.change(id, State=state, Reason=reason)
        if state == "terminated":
            volumes.release(self.cloud, id)


def engine(cloud: Cloud) -> Machines:
    """Return what boots machines here; raise Refused where the engine cannot."""
    if cloud.engine.machines is None:
        raise Refused(
            "EC2 instances are containers of Docker here, and this cloud's engine is"
            f" {cloud.engine.name}: start a Docker engine, then the cloud with `atelier up --engine docker`"
        )
    return cloud.engine.machines


def of(cloud: Cloud) -> Life:
    """Return the life of a cloud that is up."""
    return _states[cloud.home]


def start(cloud: Cloud) -> None:
    """Begin; what ran when the cloud went down has been stopped with it."""
    _states[cloud.home] = Life(cloud, load(cloud.home), Metadata(cloud))
    for id, record in instances(cloud).items():
        if record["State"] in ("pending", "running", "stopping"):
            reason = ("Server.ScheduledStop", "Server.ScheduledStop: the local cloud was stopped")
            instances(cloud).change(id, State="stopped", Reason=reason)
        else:
            _forget(cloud, id, record["State"])


def _forget(cloud: Cloud, id: str, state: str) -> None:
    """Forget an instance that is terminated, or was about to be."""
    if state in ("shutting-down", "terminated"):
        volumes.release(cloud, id)
        instances(cloud).delete(id)


def stop(cloud: Cloud) -> None:
    """End all machines; their volumes stay."""
    life = _states.pop(cloud.home, None)
    if life is None:
        return
    with life.changing:
        life.ending = True
        machines = list(life.running.values())
    threads = [threading.Thread(target=each.stop, args=(2.0,), daemon=True) for each in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(life.settings.grace)
    life.metadata.close()


def _is_root(volume: Record) -> bool:
    return bool(volume["Device"] == volumes.ROOT)
