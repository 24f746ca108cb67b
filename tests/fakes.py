"""Fakes of the ports: the second implementation that each port earns its place by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atelier.cloud.context import Caller, Cloud, Container, Credentials
from atelier.cloud.store import Store


@dataclass
class FakeIdentity:
    """Allows everything but what `denied` lists, and remembers what was asked."""

    denied: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def caller(self) -> Caller:
        return Caller("arn:aws:iam::000000000000:user/tester")

    def allows(self, caller: Caller, action: str, resource: str, **keys: str) -> bool:
        self.asked.append((action, resource))
        return action not in self.denied

    def assume(
        self, role_arn: str, *, service: str, session: str, policy: Mapping[str, Any] | None = None
    ) -> Credentials:
        return Credentials("AKIAFAKE", "secret", "token")


@dataclass
class FakeEvents:
    """Keeps what was published."""

    published: list[dict[str, Any]] = field(default_factory=list)

    def publish(self, source: str, detail_type: str, detail: Mapping[str, Any], resources: list[str]) -> None:
        self.published.append(
            {"source": source, "detail-type": detail_type, "detail": dict(detail), "resources": resources}
        )


@dataclass
class FakeRunning:
    """A container that has ended with `code`."""

    code: int = 0
    pid: int = 0

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

    def start(self, container: Container) -> FakeRunning:
        self.started.append(container)
        return FakeRunning(self.behaviour(container))

    def clean(self) -> None:
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
            "engine": FakeEngine(),
            **parts,
        }
    )
