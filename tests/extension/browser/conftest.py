"""Chromium, and a stand-in for a WebUI on each gradio, with the extension in it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import standin_webui
import webui_page
from playwright.sync_api import sync_playwright
from standin_middleware import Middleware
from webui_page import Page

from atelier_webui.accounts import Accounts, account

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
# Not by a route of Playwright's: each request would wait until the test next speaks to the browser.
ARGUMENTS += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*"]
IS_REQUIRED = os.environ.get("ATELIER_BROWSER") == "required"
GRADIOS = ("gradio3", "gradio4")
HERE = "tests/extension/browser/"


def pytest_terminal_summary(terminalreporter):
    """Say what was left out, where nobody can miss it."""
    skipped = [each for each in terminalreporter.stats.get("skipped", []) if each.nodeid.startswith(HERE)]
    for reason in sorted({each.longrepr[2].removeprefix("Skipped: ") for each in skipped}):
        terminalreporter.write_line(
            f"LEFT OUT: the browser's tests of the WebUI extension: {reason}", red=True
        )


def need(found, reason):
    """Leave tests out when something is missing; where they are required, fail."""
    if found:
        return
    if IS_REQUIRED:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    """Chromium until the module ends: while Playwright runs, no other test can run an event loop."""
    need(CHROMIUM, "there is no chromium here; install Debian's package chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="session", params=GRADIOS)
def webui(request):
    need(
        standin_webui.python(request.param).exists(), f"{request.param} is not set up; `make webuis` does it"
    )
    place = Path(tempfile.mkdtemp(prefix="atelier-webui-"))
    try:
        with standin_webui.started(request.param, place, "--api") as started:
            yield started
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def middleware():
    """A middleware in memory."""
    made = Middleware()
    yield made
    made.close()


@pytest.fixture
def accounts(webui):
    """The WebUI's accounts: none at the beginning of a test, and nothing that another one left undone."""
    with urllib.request.urlopen(urllib.request.Request(f"{webui.url}/sdapi/v1/interrupt", b"")):
        pass
    kept = Accounts(webui.data / "atelier" / "accounts.json")
    for name in kept.names():
        kept.remove(name)
    for made in ("outputs", "models", "atelier/history"):
        shutil.rmtree(webui.data / made, ignore_errors=True)
    return kept


@pytest.fixture
def anna(accounts, middleware):
    """Anna has an account, made before the page is opened."""
    accounts.add(account("anna's cloud", middleware.url, "token-of-anna"))
    return middleware


@pytest.fixture(scope="module")
def context(browser):
    """One cache for a module."""
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    made.set_default_timeout(webui_page.SECONDS * 1000)
    return made


@pytest.fixture
def opened(context, webui):
    """Open the WebUI in one more tab: ``opened("dark")``."""
    pages = []

    def open_page(theme="light"):
        pages.append(Page.opened(context, webui, theme))
        return pages[-1]

    yield open_page
    for each in pages:
        each.tab.close()


@pytest.fixture
def page(opened):
    """A page that is open."""
    return opened()
