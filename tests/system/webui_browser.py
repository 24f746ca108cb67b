"""A browser that opens a workstation, whose certificate nobody has vouched for."""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "extension" / "browser"))
sys.path.insert(0, str(Path(__file__).parents[1] / "extension"))

from webui_page import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
ARGUMENTS += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*"]
LOGIN = "login"


def through(url: str) -> urllib.request.OpenerDirector:
    """Return an opener that takes the certificate as it is."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )


@contextlib.contextmanager
def opened(url: str, username: str, password: str) -> Iterator[Page]:
    """Log in at a WebUI, as a person does."""
    if CHROMIUM is None:
        (pytest.fail if os.environ.get("ATELIER_BROWSER") == "required" else pytest.skip)(
            "there is no chromium here; install Debian's package chromium"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 1280, "height": 900}, ignore_https_errors=True)
        page = Page(context.new_page(), SimpleNamespace(url=url.rstrip("/")))
        page.tab.goto(url)
        page.tab.get_by_label("username").fill(username)
        page.tab.get_by_label("password").fill(password)
        page.tab.get_by_role("button", name="Login").click()
        expect(page.part("txt2img_generate")).to_be_visible()
        yield page
        browser.close()
