"""What a person does on the page, in a person's words."""

from __future__ import annotations

import contextlib
import io
import re
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, expect
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page as Tab
from standin_webui import WebUI

SECONDS = 60
PATIENCE = 5000
"""Milliseconds until a person tries a menu again."""
expect.set_options(timeout=SECONDS * 1000)


def until(look: Callable[[], Any], pause: float = 0.05) -> Any:
    """Look until there is something, after each pause (s)."""
    deadline = time.monotonic() + SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(pause)
    return found


ON_ONE = pytest.mark.parametrize("webui", ["gradio3"], indirect=True)
"""For what no version of gradio makes different."""


PRESSES = """
async id => {
    const button = gradioApp().querySelector("#" + id);
    let presses = 0;
    button.addEventListener("click", () => presses++);
    await new Promise(resolve => setTimeout(resolve, 8000));
    return presses;
}
"""
"""Counts how often a button is pressed in eight seconds."""


@dataclass
class Page:
    """A WebUI in a browser's tab."""

    tab: Tab
    webui: WebUI
    errors: list[str] = field(default_factory=list)

    @classmethod
    def opened(cls, context: BrowserContext, webui: WebUI, theme: str) -> Page:
        """Open the WebUI."""
        page = cls(context.new_page(), webui)
        page.tab.on("pageerror", lambda error: page.errors.append(str(error)))
        page.tab.on("dialog", lambda dialog: dialog.accept())
        page.tab.goto(f"{webui.url}/?__theme={theme}")
        expect(page.part("txt2img_generate")).to_be_visible(timeout=SECONDS * 1000)
        # it shows its buttons some time before it listens to them
        page.part("atelier_accounts").locator("[data-atelier-answered]").wait_for(state="attached")
        return page

    def part(self, id: str) -> Locator:
        """Return what has that id; gradio gives it twice to a text."""
        return self.tab.locator(f"#{id}").first

    def show(self, name: str) -> None:
        """Go to a tab of the WebUI."""
        self._go("tabs", name)

    def pane(self, name: str) -> None:
        """Go to a pane of our own tab."""
        self.show("Atelier")
        self._go("atelier_panes", name)

    def _go(self, bar: str, name: str) -> None:
        exactly = re.compile(rf"^\s*{name}\s*$")
        self.tab.locator(f"#{bar} > .tab-nav > button").filter(has_text=exactly).click()

    def connect(self, name: str, url: str, token: str) -> None:
        """Enter an account and press the button."""
        self.pane("Accounts")
        for part, value in (("name", name), ("url", url), ("token", token)):
            self.write(f"atelier_accounts_{part}", value)
        self.part("atelier_accounts_add").click()

    def refresh(self, name: str, text: str) -> None:
        """Press a pane's Refresh until its list has a text; what is pressed while it loads is lost."""
        for _ in range(SECONDS * 1000 // PATIENCE):
            self.part(f"atelier_{name}_refresh").click()
            with contextlib.suppress(AssertionError):
                return expect(self.part(f"atelier_{name}")).to_contain_text(text, timeout=PATIENCE)
        raise AssertionError(f"{text!r} does not come into {name}")

    def write(self, id: str, text: Any) -> None:
        """Write into a field."""
        self.part(id).locator("textarea, input:not([type=range])").first.fill(str(text))

    def choose(self, id: str, value: str) -> None:
        """Choose from a menu; open it again if an answer that fills it anew has closed it."""
        field = self.part(id).locator("input").first
        entry = self.part(id).locator("ul.options li").filter(has_text=value).first
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            field.blur()
            field.click()
            field.fill(value)
            with contextlib.suppress(PlaywrightError):
                return entry.click(timeout=PATIENCE)
        raise AssertionError(f"{id} does not offer {value!r}")

    def write_new(self, id: str, value: str) -> None:
        """Write into a menu what it does not offer."""
        field = self.part(id).locator("input").first
        field.fill(value)
        field.press("Enter")
        field.blur()

    def tick(self, id: str, on: bool = True) -> None:
        """Switch something on or off."""
        self.part(id).locator("input[type=checkbox]").set_checked(on)

    def switch_on(self, tab: str = "txt2img") -> None:
        """Let the cloud make the pictures of a tab, and wait until its menus are filled."""
        if not self.part(f"atelier_{tab}_enabled").is_visible():
            self.part(f"atelier_{tab}_accordion").locator(".label-wrap").first.click()
        self.tick(f"atelier_{tab}_enabled")
        expect(self.part(f"atelier_{tab}_status")).to_contain_text("in service")

    def ask(self, prompt: str, tab: str = "txt2img", **numbers: Any) -> None:
        """Fill in the form and press Generate."""
        self.write(f"{tab}_prompt", prompt)
        for name, value in {"width": 64, "height": 64, **numbers}.items():
            self.write(f"{tab}_{name}", value)
            self.part(f"{tab}_{name}").locator("input:not([type=range])").first.blur()
        before = self.tab.evaluate("standin.asked")
        self.part(f"{tab}_generate").click()
        self.tab.wait_for_function(f"standin.asked > {before}")

    def infotext(self, tab: str = "txt2img") -> Locator:
        """Return what stands below the pictures."""
        return self.part(f"html_info_{tab}")

    def told(self, tab: str = "txt2img") -> Locator:
        """Return where errors stand."""
        return self.part(f"html_log_{tab}")

    def pictures(self, tab: str = "txt2img") -> list[Image.Image]:
        """Return the pictures in the gallery, as the browser gets them."""
        shown = self.part(f"{tab}_gallery").locator("img")
        expect(shown.first).to_be_visible()
        links = dict.fromkeys(each.get_attribute("src") or "" for each in shown.all())
        return [self._picture(link) for link in links]

    def _picture(self, link: str) -> Image.Image:
        with urllib.request.urlopen(
            link if link.startswith("http") else self.webui.url + "/" + link
        ) as answer:
            return Image.open(io.BytesIO(answer.read()))

    def idle(self, tab: str = "txt2img") -> None:
        """Wait until nothing is being made."""
        expect(self.part(f"{tab}_generate")).to_be_visible()
