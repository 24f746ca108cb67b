"""The accounts: add, test, remove. A token goes in and never comes back to the page."""

from __future__ import annotations

from typing import Any

import gradio as gr

from atelier_webui.accounts import account as entered
from atelier_webui.compat import listen
from atelier_webui.desk import Desk
from atelier_webui.ui import words
from atelier_webui.ui.answers import CONFIRMED, calling, confirming, offering, telling

EVERYWHERE = calling("atelierReloadAccounts()")


def build(desk: Desk, account: Any) -> None:
    """Make the pane; *account* is the menu above all panes."""
    message = gr.HTML("", elem_id="atelier_accounts_message")
    listed = gr.HTML(_table(desk), elem_id="atelier_accounts")
    with gr.Row(elem_classes=["atelier-actions"]):
        chosen = gr.Dropdown(
            label="Account",
            choices=desk.names(),
            value=desk.first(),
            elem_id="atelier_accounts_chosen",
            allow_custom_value=True,
        )
        test = gr.Button("Test", elem_id="atelier_accounts_test")
        remove = gr.Button("Remove", elem_id="atelier_accounts_remove")
    # the page is made once, when the WebUI starts: it asks for the accounts of now
    refresh = gr.Button(
        "Reload accounts", elem_id="atelier_accounts_refresh", elem_classes=["atelier-hidden"]
    )
    listen(refresh.click, lambda *at: _refresh(desk, *at), [chosen, account], [listed, chosen, account])
    menus = [message, listed, chosen, account]
    _wire_new(desk, menus)
    listen(test.click, telling(lambda name: _test(desk, name), 1), [chosen], [message], progress="minimal")
    listen(
        remove.click,
        telling(lambda name, sure: _remove(desk, name, sure), len(menus)),
        [chosen, gr.Textbox(visible=False)],
        menus,
        js=confirming("Remove the account {} from this WebUI?", 2),
        then=EVERYWHERE,
    )


def _wire_new(desk: Desk, menus: list[Any]) -> None:
    with gr.Accordion("New account", elem_id="atelier_accounts_new"):
        with gr.Row():
            name = gr.Textbox(label="Name", placeholder="studio", elem_id="atelier_accounts_name")
            url = gr.Textbox(
                label="API URL",
                placeholder="https://….execute-api.….amazonaws.com/prod/",
                elem_id="atelier_accounts_url",
            )
        with gr.Row():
            token = gr.Textbox(label="Token", type="password", elem_id="atelier_accounts_token")
            user = gr.Textbox(
                label="User",
                placeholder="only with the deployment's own token",
                elem_id="atelier_accounts_username",
            )
        add = gr.Button("Test and add", variant="primary", elem_id="atelier_accounts_add")
    outputs = [*menus, token]
    adding = telling(lambda *given: _add(desk, *given), len(outputs))
    listen(add.click, adding, [name, url, token, user], outputs, progress="minimal", then=EVERYWHERE)


def _add(desk: Desk, name: str, url: str, token: str, username: str) -> list[Any]:
    account = entered(name, url, token, username)
    service = desk.connect(account).check()
    renewed = " with its new token" if desk.accounts.add(account) else ""
    told = f"{account.name} is connected to {service.title}, version {service.version}{renewed}."
    return [words.note(told), *_menus(desk, account.name), gr.update(value="")]


def _test(desk: Desk, name: str) -> list[Any]:
    service = desk.client(name).check()
    return [words.note(f"{name} answers: {service.title}, version {service.version}.")]


def _remove(desk: Desk, name: str, sure: str) -> list[Any]:
    if sure != CONFIRMED or not name:
        return [words.note("Nothing was removed."), *(gr.update() for _ in range(3))]
    desk.accounts.remove(name)
    told = f"{name} is forgotten here. Its token stays valid until it is revoked in the cloud."
    return [words.note(told), *_menus(desk, desk.first())]


def _refresh(desk: Desk, *chosen: str) -> list[Any]:
    names = desk.names()
    return [_table(desk) + words.answered(), *(offering(names, each) for each in chosen)]


def _menus(desk: Desk, chosen: str) -> list[Any]:
    return [_table(desk), *(gr.update(choices=desk.names(), value=chosen) for _ in range(2))]


def _table(desk: Desk) -> str:
    names = desk.names()
    kept = [desk.accounts.get(name) for name in names]
    rows = [(each.name, each.url, each.username or "the token's own") for each in kept]
    empty = "There is no account yet. Your cloud's administrator gives you the URL and a token."
    return words.table("Accounts", ("Name", "API URL", "User"), rows, empty)
