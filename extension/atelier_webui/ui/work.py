"""Work that runs in the cloud by itself, trainings and merges: listed, watched, stopped, deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import gradio as gr

from atelier_webui.compat import listen
from atelier_webui.desk import Desk
from atelier_webui.errors import Problem, Refusal
from atelier_webui.ui import cards, words
from atelier_webui.ui.answers import CONFIRMED, clearing, confirming, pressing, telling

if TYPE_CHECKING:
    from atelier_webui.client import Client

LIMIT = 24
GONE = 404


class Page(NamedTuple):
    """Cards, and the key of the page after."""

    cards: Sequence[cards.Card]
    next: str | None


class Detail(NamedTuple):
    """What is seen of the one that is chosen: a piece of the page, and its log."""

    html: str
    log: str


class Kind(Protocol):
    """A kind of work."""

    name: str
    """What its ids on the page begin with, and what a card is one of."""

    def page(self, client: Client, start: str | None) -> Page:
        """Return cards, the newest first."""

    def detail(self, client: Client, id: str) -> Detail:
        """Return what is seen of one."""

    def stop(self, client: Client, id: str) -> None:
        """Let one not run to its end."""

    def delete(self, client: Client, id: str) -> None:
        """Delete one; what it made stays."""


@dataclass(frozen=True)
class Pane:
    """The components that more than one event needs; *refresh* is for other lists of the pane, too."""

    desk: Desk
    kind: Kind
    account: Any
    refresh: Any
    message: Any
    listed: Any
    next: Any
    chosen: Any
    told: Any
    detail: Any
    log: Any

    @property
    def shown(self) -> list[Any]:
        """Return what a list, with the one that is chosen of it, goes to."""
        return [self.message, self.listed, self.next, self.detail, self.log]


def build(desk: Desk, account: Any, kind: Kind) -> Pane:
    """Make the list and the view of the one that is chosen; the page looks again while one waits."""
    name, hidden = f"atelier_{kind.name}", {"elem_classes": ["atelier-hidden"]}
    with gr.Row(elem_classes=["atelier-actions"]):
        refresh = gr.Button("Refresh", elem_id=f"{name}_refresh")
        older = gr.Button("Older", elem_id=f"{name}_older")
    look = gr.Button("Look", elem_id=f"{name}_look", **hidden)
    message = gr.HTML("", elem_id=f"{name}_message")
    listed = gr.HTML(words.note(f"Refresh shows the {kind.name}s."), elem_id=f"{name}s")
    chosen = gr.Textbox(label="Chosen", elem_id=name, **hidden)
    show = gr.Button("Show", elem_id=f"{name}_show", **hidden)
    told = gr.HTML("", elem_id=f"{name}_told")
    detail = gr.HTML(words.note(f"Choose a {kind.name} to see it."), elem_id=f"{name}_detail")
    with gr.Row(elem_classes=["atelier-actions"]):
        stop = gr.Button("Stop", elem_id=f"{name}_stop")
        delete = gr.Button("Delete", elem_id=f"{name}_delete")
    with gr.Accordion("Log", open=False, elem_id=f"{name}_log_of"):
        log = gr.Textbox(label="Log", lines=10, max_lines=20, interactive=False, elem_id=f"{name}_log")
    pane = Pane(desk, kind, account, refresh, message, listed, gr.State(None), chosen, told, detail, log)
    _wire(pane, look, older, show)
    _wire_acts(pane, stop, delete)
    return pane


def _wire(pane: Pane, look: Any, older: Any, show: Any) -> None:
    def newest(account: str, id: str) -> list[Any]:
        client = pane.desk.client(account)
        return [_answered(pane, account), *_listed(pane, client, None), *_detail(pane, client, id)]

    def before(account: str, start: str | None) -> list[Any]:
        return [_answered(pane, account), *_listed(pane, pane.desk.client(account), start)]

    def one(account: str, id: str) -> list[Any]:
        return ["", *_detail(pane, pane.desk.client(account), id)]

    given = [pane.account, pane.chosen]
    listen(look.click, telling(newest, 5), given, pane.shown)
    listen(pane.refresh.click, None, js=pressing(look.elem_id))
    listen(older.click, telling(before, 3), [pane.account, pane.next], pane.shown[:3], progress="minimal")
    listen(show.click, telling(one, 3), given, [pane.told, pane.detail, pane.log])
    of_account = [pane.chosen, pane.told, pane.message, pane.listed, pane.detail, pane.log]
    clearing(pane.account, of_account, _cleared(pane.kind), _refresh(pane))


def _wire_acts(pane: Pane, stop: Any, delete: Any) -> None:
    name = pane.kind.name

    def act(does: Callable[[Client, str], None], done: str) -> Callable[..., list[Any]]:
        def acted(account: str, id: str, sure: str) -> list[Any]:
            if not id or sure != CONFIRMED:
                return [words.note("Nothing was done." if id else f"Choose a {name} first.")]
            does(pane.desk.client(account), id)
            return [words.note(f"The {name} {done}.")]

        return telling(acted, 1)

    again = pressing(f"atelier_{name}_look")
    for button, does, question, done in (
        (stop, pane.kind.stop, f"Stop the {name} {{}}?", "is stopped"),
        (delete, pane.kind.delete, f"Delete the {name} {{}}? What it made stays.", "is deleted"),
    ):
        asked = [pane.account, pane.chosen, gr.Textbox(visible=False)]
        listen(button.click, act(does, done), asked, [pane.told], js=confirming(question, 3), then=again)


def _listed(pane: Pane, client: Client, start: str | None) -> list[Any]:
    page = pane.kind.page(client, start)
    return [cards.html(page.cards, of=pane.kind.name, empty=f"There is no {pane.kind.name} yet."), page.next]


def _detail(pane: Pane, client: Client, id: str) -> list[Any]:
    if not id:
        return [words.note(f"Choose a {pane.kind.name} to see it."), ""]
    try:
        detail = pane.kind.detail(client, id)
        return [detail.html + words.shown(f"atelier_{pane.kind.name}", id), detail.log]
    except Refusal as refusal:
        if refusal.status != GONE:
            raise
        return [words.problem(Problem(f"The {pane.kind.name} is gone.")), ""]


def _cleared(kind: Kind) -> list[Any]:
    first, choose = f"Refresh shows the {kind.name}s.", f"Choose a {kind.name} to see it."
    return ["", "", "", words.note(first), words.note(choose), ""]


def _refresh(pane: Pane) -> str:
    return f"atelier_{pane.kind.name}_refresh"


def _answered(pane: Pane, account: str) -> str:
    return words.answered_of(account, _refresh(pane))
