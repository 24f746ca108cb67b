"""The accordion in txt2img and img2img: on or off, where, and with what of the cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from atelier_webui.compat import listen, own_setting
from atelier_webui.desk import NO_ACCOUNT, Desk
from atelier_webui.errors import Problem
from atelier_webui.request import AUTOMATIC
from atelier_webui.ui import shelf as shelves
from atelier_webui.ui import words
from atelier_webui.ui.answers import offering
from atelier_webui.ui.shelf import Shelf


@dataclass(frozen=True)
class Controls:
    """The components whose values are a script's arguments, in their order, and the rest."""

    on: Any
    account: Any
    endpoint: Any
    checkpoint: Any
    wait: Any
    refresh: Any
    reload: Any
    status: Any
    shelf: Shelf

    @property
    def arguments(self) -> list[Any]:
        """Return what the WebUI hands on."""
        return [self.on, self.account, self.endpoint, self.checkpoint, self.wait, self.shelf.vae]


def account_menu(tab: str, desk: Desk) -> Any:
    """Make the menu of accounts; it is to stand beside Generate, and hidden while there is none."""
    names = desk.names()
    return own_setting(
        gr.Dropdown(
            label="Atelier account",
            choices=names,
            value=names[0] if names else "",
            visible=bool(names),
            elem_id=f"atelier_{tab}_account",
            allow_custom_value=True,
        )
    )


def build(tab: str, desk: Desk, account: Any | None) -> Controls:
    """Make the accordion, with the menu of accounts in it when the WebUI left no place beside Generate."""
    with gr.Accordion("Atelier: generate in your cloud", open=False, elem_id=f"atelier_{tab}_accordion"):
        with gr.Row():
            on = gr.Checkbox(label="Generate in the cloud", value=False, elem_id=f"atelier_{tab}_enabled")
            wait = gr.Checkbox(label="Wait for the images", value=True, elem_id=f"atelier_{tab}_wait")
        with gr.Row(elem_classes=["atelier-menus"]):
            account = account or account_menu(tab, desk)
            endpoint = _menu("Endpoint", f"atelier_{tab}_endpoint")
            checkpoint = _menu("Checkpoint in the cloud", f"atelier_{tab}_checkpoint")
            refresh = gr.Button("Refresh", elem_id=f"atelier_{tab}_refresh", size="sm", scale=0, min_width=80)
        reload = gr.Button(
            "Reload accounts", elem_id=f"atelier_{tab}_reload", elem_classes=["atelier-hidden"]
        )
        first = "" if desk.names() else words.note(NO_ACCOUNT)
        status = gr.HTML(first, elem_id=f"atelier_{tab}_status")
        shelf = shelves.build(tab)
    return Controls(on, account, endpoint, checkpoint, own_setting(wait), refresh, reload, status, shelf)


def _menu(label: str, elem_id: str) -> Any:
    return own_setting(
        gr.Dropdown(
            label=label, choices=[AUTOMATIC], value=AUTOMATIC, elem_id=elem_id, allow_custom_value=True
        )
    )


def wire(tab: str, controls: Controls, desk: Desk) -> None:
    """Fill the menus from the cloud when it is switched on, when the account changes, and when asked."""
    filled = [controls.endpoint, controls.checkpoint, controls.status]

    def fill(account: str) -> list[Any]:
        return _filled(desk, account, tab)

    def fill_if_on(on: bool, account: str) -> list[Any]:
        return _filled(desk, account, tab) if on else [gr.update(), gr.update(), ""]

    def reload(account: str, told: str) -> list[Any]:
        return _reloaded(desk, account, told)

    listen(controls.refresh.click, fill, [controls.account], filled)
    listen(controls.on.change, fill_if_on, [controls.on, controls.account], filled)
    listen(controls.account.change, fill_if_on, [controls.on, controls.account], filled)
    given = [controls.account, controls.status]
    listen(controls.reload.click, reload, given, given)
    shelves.wire(controls.shelf, controls.account, desk)


def _filled(desk: Desk, account: str, tab: str) -> list[Any]:
    try:
        client = desk.client(account)
        endpoints = client.endpoints()
        checkpoints = client.checkpoints(types=["Stable-diffusion"], statuses=["Active"])
    except Problem as problem:
        return [gr.update(), gr.update(), words.problem(problem)]
    serving = [each.endpoint_name for each in endpoints if each.endpoint_status == "InService"]
    names = sorted({name for each in checkpoints for name in each.name})
    told = words.note(words.summary(client.account.name, serving, len(endpoints), names))
    told += words.answered_of(account, f"atelier_{tab}_refresh", f"atelier_{tab}_account")
    return [gr.update(choices=[AUTOMATIC, *serving]), gr.update(choices=[AUTOMATIC, *names]), told]


def _reloaded(desk: Desk, account: str, told: str) -> list[Any]:
    names = desk.names()
    menu = offering(names, account, visible=bool(names))
    if not names:
        return [menu, words.note(NO_ACCOUNT)]
    return [menu, "" if NO_ACCOUNT in told else gr.update()]
