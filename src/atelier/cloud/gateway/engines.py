"""Which engine runs a home's containers: chosen at its first start, kept as long as it has images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier.cloud.context import Engine, Refused
from atelier.cloud.engines import programs
from atelier.cloud.gateway.containers import docker_variables, kept
from atelier.cloud.gateway.settings import Home
from atelier.cloud.store import Store

WISHES = ("auto", "docker", "process")
PROBE = 5
"""Seconds that an engine nobody asked for may take to answer."""


@dataclass(frozen=True)
class Choice:
    """An engine's name, and why it is this one."""

    name: str
    reason: str


def choose(home: Home, store: Store, environment: Mapping[str, str]) -> tuple[Engine, Choice]:
    """Return the engine of this start; refuse one that does not fit the home or does not answer."""
    wish = environment.get("ATELIER_ENGINE") or "auto"
    if wish not in WISHES:
        raise Refused(f"there is no engine {wish!r}: {', '.join(WISHES)} are known")
    before = _bound(home, store)
    if before and wish not in ("auto", before):
        raise Refused(
            f"this home has image repositories of the {before} engine, which {wish} cannot use: start it with"
            f" --engine {before}, or give another home (ATELIER_HOME=...) to --engine {wish}"
        )
    if wish == "auto" and before is None:
        engine, choice = _found(home, environment)
    else:
        reason = "asked for" if wish != "auto" else "this home's images are made for it"
        choice = Choice(before or wish, reason)
        engine = _needed(choice.name, home, environment)
    home.engine.write_text(choice.name, encoding="ascii")
    return engine, choice


def _bound(home: Home, store: Store) -> str | None:
    """Return the engine that the home cannot do without: URIs and images of its repositories are for it."""
    has_images = any(True for _ in store.table("ecr.repositories").items())
    return (kept(home) or "process") if has_images else None


def _found(home: Home, environment: Mapping[str, str]) -> tuple[Engine, Choice]:
    """Return Docker where it answers and can be used, else processes."""
    try:
        engine = _made("docker", home, environment, timeout=PROBE)
    except Refused as refused:
        return _made("process", home, environment), Choice("process", str(refused))
    return engine, Choice("docker", f"Docker answers at {docker_variables(environment)['DOCKER_HOST']}")


def _needed(name: str, home: Home, environment: Mapping[str, str]) -> Engine:
    try:
        return _made(name, home, environment)
    except Refused as refused:
        if name != "docker":
            raise
        way_out = "start Docker, name another engine by DOCKER_HOST, or use --engine process"
        raise Refused(f"{refused}: {way_out} (a home with images of Docker needs Docker)") from refused


def _made(name: str, home: Home, environment: Mapping[str, str], **options: Any) -> Engine:
    if name == "docker":
        from atelier.cloud.engines.docker.engine import DockerEngine

        docker: Engine = DockerEngine(home.root, docker_variables(environment), **options)
        programs.find(docker, home.root / "registry")  # without it nothing could be pushed
        return docker
    from atelier.cloud.engines.process import ProcessEngine

    return ProcessEngine(home.root, Path(environment["ATELIER_CACHE"]))
