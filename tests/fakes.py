"""Fakes of the ports: the second implementation that each port earns its place by."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atelier.cloud.context import (
    Caller,
    Cloud,
    Container,
    Credentials,
    Fault,
    InstanceProfile,
    Login,
    Refused,
    Sample,
)
from atelier.cloud.store import Store


@dataclass
class FakeIdentity:
    """Allows everything but what `denied` lists, and remembers what was asked."""

    denied: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    profiles: dict[str, InstanceProfile] = field(default_factory=dict)

    def caller(self) -> Caller:
        return Caller("arn:aws:iam::000000000000:user/tester")

    def signer(self, access_key: str) -> Caller | None:
        return Caller(f"arn:aws:iam::000000000000:user/{access_key}", access_key=access_key)

    def allows(self, caller: Caller, action: str, resource: str, **keys: str) -> bool:
        self.asked.append((action, resource))
        return action not in self.denied

    def assume(
        self, role_arn: str, *, service: str, session: str, policy: Mapping[str, Any] | None = None
    ) -> Credentials:
        return Credentials("AKIAFAKE", "secret", "token")

    def serve(self, service: str, action: str, resource: str, *, source_arn: str) -> Credentials:
        self.asked.append((action, resource))
        if action in self.denied:
            raise Refused(f"{resource} is closed to {service}")
        return Credentials("AKIAFAKE", "secret", "token")

    def profile(self, name: str) -> InstanceProfile | None:
        return self.profiles.get(name)


@dataclass
class FakeEvents:
    """Keeps what was published."""

    published: list[dict[str, Any]] = field(default_factory=list)

    def publish(self, source: str, detail_type: str, detail: Mapping[str, Any], resources: list[str]) -> None:
        self.published.append(
            {"source": source, "detail-type": detail_type, "detail": dict(detail), "resources": resources}
        )


@dataclass
class FakeMetrics:
    """Keeps samples by metric, and alarms by name."""

    told: dict[tuple[str, str, frozenset[tuple[str, str]]], list[Sample]] = field(default_factory=dict)
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)

    def put(self, namespace: str, name: str, value: float, dimensions: Mapping[str, str]) -> None:
        self.tell(namespace, name, value, dimensions, time.time())

    def tell(self, namespace: str, name: str, value: float, dimensions: Mapping[str, str], at: float) -> None:
        sample = Sample(time=at, count=1, total=value, minimum=value, maximum=value, unit="None")
        self.told.setdefault((namespace, name, frozenset(dimensions.items())), []).append(sample)

    def samples(self, namespace: str, name: str, dimensions: Mapping[str, str], since: float) -> list[Sample]:
        found = self.told.get((namespace, name, frozenset(dimensions.items())), [])
        return [each for each in list(found) if each.time >= since]

    def alarms(self) -> list[Mapping[str, Any]]:
        return [dict(each) for each in self.kept.values()]

    def put_alarm(self, alarm: Mapping[str, Any]) -> None:
        state = self.kept.get(alarm["AlarmName"], {}).get("StateValue", "INSUFFICIENT_DATA")
        self.kept[alarm["AlarmName"]] = {**alarm, "StateValue": state}

    def delete_alarm(self, name: str) -> None:
        self.kept.pop(name, None)

    def move_alarm(self, name: str, state: str, reason: str) -> None:
        self.kept[name] |= {"StateValue": state, "StateReason": reason}


@dataclass
class FakeRunning:
    """A container that has ended with `code`."""

    code: int = 0
    pid: int = 0
    fault: Fault | None = None

    def wait(self, timeout: float | None = None) -> int | None:
        return self.code

    def stop(self, grace: float) -> int:
        return self.code


@dataclass
class FakeEngine:
    """Runs a function where an engine would run a container."""

    behaviour: Callable[[Container], int] = lambda container: 0
    started: list[Container] = field(default_factory=list)
    name: str = "fake"
    tools: Path | None = None
    isolates: bool = False
    machines: Any = None

    def pull(self, image: str, login: Callable[[], Login], *, check: Callable[[], None]) -> None:
        check()

    def has(self, image: str) -> bool:
        return False

    def start(self, container: Container) -> FakeRunning:
        self.started.append(container)
        return FakeRunning(self.behaviour(container))

    def clean(self) -> None:
        pass

    def close(self) -> None:
        pass


def fake_cloud(home: Path, **parts: Any) -> Cloud:
    """A cloud around a service under test; give any part to replace its fake."""
    return Cloud(
        **{
            "home": home,
            "endpoint": "http://127.0.0.1:9",
            "account": "000000000000",
            "region": "us-east-1",
            "store": Store(home / "atelier.sqlite"),
            "identity": FakeIdentity(),
            "events": FakeEvents(),
            "metrics": FakeMetrics(),
            "engine": FakeEngine(),
            **parts,
        }
    )
