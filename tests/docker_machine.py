"""Tests that need a Docker engine: marked `docker`, left out by name where none answers, never skipped.

With ATELIER_REQUIRE_DOCKER=1 they are required: without an engine the run ends with an error before any test.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import pytest

REQUIRED = "ATELIER_REQUIRE_DOCKER"
LEFT_OUT = pytest.StashKey[int]()


@functools.cache
def missing() -> str | None:
    """Say why no Docker engine answers, or nothing when one does."""
    # Asked aside, for a refusal leaves a socket of the SDK open.
    ask = "import docker; docker.from_env(timeout=10).ping()"
    asked = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ask], capture_output=True, text=True, check=False
    )
    return asked.stderr.strip().rpartition("\n")[2] if asked.returncode else None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "docker: needs a Docker engine")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that need an engine where there is none, unless they are required."""
    needing = [each for each in items if each.get_closest_marker("docker")]
    if not needing or (problem := missing()) is None:
        return
    if os.environ.get(REQUIRED) == "1":
        raise pytest.UsageError(f"{REQUIRED}=1, and no Docker engine answers: {problem}")
    items[:] = [each for each in items if each not in needing]
    config.hook.pytest_deselected(items=needing)
    config.stash[LEFT_OUT] = len(needing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, and how to have it run."""
    if count := config.stash.get(LEFT_OUT, 0):
        plural = "tests need" if count > 1 else "test needs"
        terminalreporter.write_line(
            f"LEFT OUT: {count} {plural} a Docker engine, and none answers here ({missing()})."
            " CONTRIBUTING.md says how to start one.",
            yellow=True,
        )
