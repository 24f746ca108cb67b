"""Atelier's glue: the hooks that the WebUI calls. What they do is in the package atelier_webui."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modules import script_callbacks, scripts

from atelier_webui import api, host, request, wrap
from atelier_webui.desk import Desk

DESK = Desk(host.data_folder() / "atelier")


class Atelier(scripts.Script):
    """The accordion, and the request that it sends to the cloud."""

    makes_images_elsewhere = True
    account: Any | None = None
    is_wired = False

    def title(self) -> str:
        """Return the name by which API clients call it."""
        return request.TITLE

    def show(self, is_img2img: bool) -> Any:
        """Be there always, and put the menu of accounts beside Generate."""
        self.tab = "img2img" if is_img2img else "txt2img"
        if hasattr(self, "on_before_component"):
            self.on_before_component(self._place_account, elem_id=f"{self.tab}_tools")
        return scripts.AlwaysVisible

    def _place_account(self, _component: Any) -> None:
        from atelier_webui.ui import accordion

        self.account = accordion.account_menu(self.tab, DESK)

    def ui(self, is_img2img: bool) -> list[Any]:
        """Make the accordion. The API calls this again, for values alone."""
        from atelier_webui.ui import accordion

        controls = accordion.build(self.tab, DESK, None if self.is_wired else self.account)
        if not self.is_wired:
            self.is_wired = True
            accordion.wire(self.tab, controls, DESK)
        return controls.arguments

    def is_wanted(self, runner: Any, args: Sequence[Any]) -> bool:
        """Say whether a request is for the cloud: the accordion is on, or our entry is selected."""
        selected = runner.selectable_scripts[args[0] - 1] if args and args[0] else None
        return isinstance(selected, GenerateOnAtelier) or self._switches(args).on is True

    def make(self, p: Any, args: Sequence[Any]) -> Any:
        """Make a request's images in the cloud."""
        return request.make(p, args, self._switches(args), desk=DESK)

    def _switches(self, args: Sequence[Any]) -> request.Switches:
        return request.switches(args[self.args_from : self.args_to])


class GenerateOnAtelier(scripts.Script):
    """An entry in the menu of scripts; the WebUI's API reaches `ScriptRunner.run` only by such a script."""

    def title(self) -> str:
        """Return what the menu says."""
        return request.CHOICE


def tab() -> list[tuple[Any, str, str]]:
    """Make the Atelier tab."""
    from atelier_webui.ui import tab

    return [(tab.build(DESK), "Atelier", "atelier")]


wrap.install(scripts.ScriptRunner)
script_callbacks.on_ui_tabs(tab)
script_callbacks.on_app_started(lambda _page, app: api.install(app))
