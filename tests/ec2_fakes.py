"""EC2 without an engine: machines that boot at once and end when they are told, or by themselves."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes import FakeEngine, FakeIdentity, fake_cloud

from atelier.cloud.context import Cloud, Fault, InstanceProfile, Machine, Refused
from atelier.cloud.services.ec2 import life
from atelier.cloud.services.ec2.plugin import PLUGIN

SCRIPT = base64.b64encode(b"#!/bin/bash\necho hello\n").decode()
AMI = "ami-0c2023a1b2c3d4e5f"
ROLE = "arn:aws:iam::000000000000:role/worker"
PROFILE = InstanceProfile("arn:aws:iam::000000000000:instance-profile/worker", "AIPA1", ROLE)


@dataclass
class FakeMachine:
    """Runs until it is stopped, or ends by itself."""

    machine: Machine
    pid: int = 0
    fault: Fault | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def wait(self, timeout: float | None = None) -> int | None:
        return 0 if self.ended.wait(timeout) else None

    def stop(self, grace: float) -> int:
        self.ended.set()
        return 0


@dataclass
class FakeMachines:
    """Remembers what was booted; *trouble* keeps an image from being built, *gate* holds it up."""

    trouble: str = ""
    gate: threading.Event | None = None
    booted: list[FakeMachine] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def build(self, image: str, files: Mapping[str, bytes]) -> None:
        assert self.gate is None or self.gate.wait(30)
        if self.trouble:
            raise Refused(self.trouble)

    def boot(self, machine: Machine) -> FakeMachine:
        self.booted.append(FakeMachine(machine))
        return self.booted[-1]

    def remove_disk(self, name: str) -> None:
        self.removed.append(name)


@dataclass
class Ec2:
    """The service of one cloud, called as by its tester."""

    cloud: Cloud
    machines: FakeMachines
    identity: FakeIdentity

    def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        return PLUGIN.service.call(self.cloud, operation, request)

    def run(self, **more: Any) -> str:
        """Start one instance and return its id."""
        request = {"ImageId": AMI, "InstanceType": "t3.large", "MinCount": 1, "MaxCount": 1, **more}
        return str(self("RunInstances", **request)["Instances"][0]["InstanceId"])

    def instance(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self("DescribeInstances", InstanceIds=[id])["Reservations"][0]["Instances"][0]
        return found

    def state(self, id: str) -> str:
        return str(self.instance(id)["State"]["Name"])

    def settled(self, id: str, state: str) -> dict[str, Any]:
        until(lambda: self.state(id) == state)
        return self.instance(id)


@contextmanager
def ec2(home: Path, **parts: Any) -> Iterator[Ec2]:
    """EC2 of a cloud at *home*, from its start to its end."""
    machines, identity = parts.get("machines", FakeMachines()), FakeIdentity(profiles={"worker": PROFILE})
    cloud = parts.get("cloud") or fake_cloud(home, engine=FakeEngine(machines=machines), identity=identity)
    life.start(cloud)
    try:
        yield Ec2(cloud, machines, identity)
    finally:
        life.stop(cloud)


def until(is_so: Callable[[], bool], patience: float = 60) -> None:
    deadline = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
