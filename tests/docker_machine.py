"""Tests that need a Docker engine: marked `docker`, left out by name where none can be used, never skipped.

With ATELIER_REQUIRE_DOCKER=1 they are required: without an engine the run ends with an error before any test.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import Any

import pytest

REQUIRED = "ATELIER_REQUIRE_DOCKER"
LEFT_OUT = pytest.StashKey[int]()
WORD = "left_out_without_docker"

ASK = """
import os, tempfile
from pathlib import Path

from atelier.cloud.context import Refused
from atelier.cloud.engines import programs
from atelier.cloud.engines.docker import client, engine, place
from atelier.cloud.gateway import environment
from atelier.cloud.gateway.containers import docker_variables

variables = docker_variables({**os.environ, "ATELIER_DOCKER_HOST": environment.docker_host()})
try:
    api = client.connect(variables, timeout=10)
    if not place.of(api.info(), variables["DOCKER_HOST"]).is_here:
        raise Refused("the engine runs in a virtual machine, whose network the tests cannot use")
    with tempfile.TemporaryDirectory() as folder:
        programs.find(engine.DockerEngine(Path(folder), variables), Path(folder))
except Refused as refused:
    raise SystemExit(str(refused))
"""
"""The cloud's own word on whether an engine will do: it answers, is this machine's, and has a registry."""


@functools.cache
def missing() -> str | None:
    """Say why the local cloud can use no Docker engine here, or nothing when it can."""
    asked = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=False)
    return asked.stderr.strip().rpartition("\n")[2] if asked.returncode else None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "docker: needs a Docker engine")
    is_worker = hasattr(config, "workerinput")  # of pytest-xdist; who started it has asked
    if os.environ.get(REQUIRED) == "1" and not is_worker and (problem := missing()):
        raise pytest.UsageError(f"{REQUIRED}=1, and no Docker engine can be used: {problem}")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that need an engine where there is none."""
    needing = [each for each in items if each.get_closest_marker("docker")]
    if not needing or missing() is None:
        return
    items[:] = [each for each in items if each not in needing]
    config.hook.pytest_deselected(items=needing)
    config.stash[LEFT_OUT] = len(needing)
    if (told := getattr(config, "workeroutput", None)) is not None:
        told[WORD] = len(needing)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a process of pytest-xdist left out; each of them left out the same."""
    if count := getattr(node, "workeroutput", {}).get(WORD):
        node.config.stash[LEFT_OUT] = count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, and how to have it run."""
    if count := config.stash.get(LEFT_OUT, 0):
        plural = "tests need" if count > 1 else "test needs"
        terminalreporter.write_line(
            f"LEFT OUT: {count} {plural} a Docker engine, and none can be used here ({missing()})."
            " CONTRIBUTING.md says how to start one.",
            yellow=True,
        )
