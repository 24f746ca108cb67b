"""The documentation's site: built once, published to the local cloud, and opened in chromium."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv" / "docs" / "bin" / "python"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
ARGUMENTS += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*, EXCLUDE *.localhost"]
HERE = "tests/docs/"


def pytest_terminal_summary(terminalreporter):
    """Say what was left out, where nobody can miss it."""
    skipped = [each for each in terminalreporter.stats.get("skipped", []) if each.nodeid.startswith(HERE)]
    for reason in sorted({each.longrepr[2].removeprefix("Skipped: ") for each in skipped}):
        terminalreporter.write_line(f"LEFT OUT: tests of the documentation: {reason}", red=True)


def need(found, reason):
    """Leave tests out when something is missing; where they are required, fail."""
    if found:
        return
    if os.environ.get("ATELIER_BROWSER") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


class Sources:
    """What a site is built from: a copy, in which a test may change something."""

    def __init__(self, folder, origin=ROOT):
        self.folder, self.site = folder, folder / "build" / "site"
        shutil.copy(origin / "mkdocs.yml", folder)
        shutil.copytree(origin / "docs", folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
        if origin != ROOT:
            shutil.copytree(origin / "build" / "docs", folder / "build" / "docs")

    def facts(self):
        """Write down what Atelier's commands and stacks are."""
        facts = [sys.executable, "docs/site/facts.py", "build/docs/facts.json"]
        subprocess.run(facts, cwd=self.folder, check=True, capture_output=True)

    def build(self):
        """Build the site as `make docs` does; return the exit code, and what was said."""
        build = [str(PYTHON), "-m", "mkdocs", "build"]
        environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
        ran = subprocess.run(
            build, cwd=self.folder, check=False, capture_output=True, text=True, env=environment
        )
        return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture(scope="session")
def first(tmp_path_factory):
    """The documentation as it is, built."""
    need(PYTHON.exists(), "MkDocs is not set up; `make docs` does it")
    made = Sources(tmp_path_factory.mktemp("docs"))
    made.facts()
    code, said = made.build()
    assert code == 0, said
    return made


@pytest.fixture
def sources(first, tmp_path):
    """A copy of it, not built."""
    return Sources(tmp_path, first.folder)


@pytest.fixture(scope="session")
def built(first):
    """The folder of the built site."""
    return first.site


@pytest.fixture(scope="module")
def published(cloud, built):
    """The site's address on the local cloud, published by the command."""
    environment = {**os.environ, "ATELIER_HOME": str(cloud.home)}

    def atelier(*words):
        ran = subprocess.run(
            [sys.executable, "-m", "atelier", *words, "--prefix", "reading", "--json"],
            check=False, capture_output=True, text=True, env=environment,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    atelier("deploy", "docs")
    return atelier("docs", "publish", "--site", str(built))["url"]


@pytest.fixture(scope="module")
def browser():
    """Chromium until the module ends: while Playwright runs, no other test can run an event loop."""
    from playwright.sync_api import sync_playwright

    need(CHROMIUM, "there is no chromium here; install Debian's package chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()
