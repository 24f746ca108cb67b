"""The shelf: the cloud's LoRAs and VAEs with a picture of each; a click takes one into the form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from atelier_webui import host
from atelier_webui.compat import listen, own_setting
from atelier_webui.desk import Desk
from atelier_webui.networks import stem
from atelier_webui.request import AUTOMATIC
from atelier_webui.ui import words
from atelier_webui.ui.answers import clearing, telling
from atelier_webui.ui.cards import cover
from atelier_webui.ui.thumbnails import Make, Thumbnails

if TYPE_CHECKING:
    from PIL.Image import Image

    from atelier_webui.client import Client
    from atelier_webui.contract.api.checkpoints import Checkpoint, CheckpointType

LORA: CheckpointType = "Lora"
VAE: CheckpointType = "VAE"
TITLES = {LORA: "LoRA", VAE: "VAE"}
NONE_YET = "The cloud has no LoRA and no VAE yet: upload one in the Atelier tab, or train one."


@dataclass(frozen=True)
class Shelf:
    """The components that more than one event needs."""

    vae: Any
    refresh: Any
    picked: Any
    pick: Any
    shown: Any


def build(tab: str) -> Shelf:
    """Make the shelf; the page asks for what stands on it when it comes in sight."""
    with gr.Accordion("LoRA and VAE in the cloud", open=False, elem_id=f"atelier_{tab}_networks"):
        with gr.Row(elem_classes=["atelier-menus"]):
            vae = gr.Dropdown(
                label="VAE in the cloud",
                choices=[AUTOMATIC],
                value=AUTOMATIC,
                elem_id=f"atelier_{tab}_vae",
                allow_custom_value=True,
            )
            refresh = gr.Button(
                "Refresh", elem_id=f"atelier_shelf_{tab}_refresh", size="sm", scale=0, min_width=80
            )
        hidden = {"elem_classes": ["atelier-hidden"]}
        picked = gr.Textbox(label="Picked", elem_id=f"atelier_{tab}_vae_picked", **hidden)
        pick = gr.Button("Pick", elem_id=f"atelier_{tab}_vae_pick", **hidden)
        shown = gr.HTML(words.note("Refresh shows what the cloud has."), elem_id=f"atelier_shelf_{tab}_pane")
    own_setting(picked)
    return Shelf(own_setting(vae), refresh, picked, pick, shown)


def wire(shelf: Shelf, account: Any, desk: Desk) -> None:
    """Fill the shelf when it is asked for, and let a click on a VAE choose it."""
    thumbnails = Thumbnails()

    def fill(name: str) -> list[Any]:
        return _filled(desk, thumbnails, name)

    listen(shelf.refresh.click, telling(fill, 2), [account], [shelf.shown, shelf.vae])
    clearing(account, [shelf.shown, shelf.vae], _cleared())
    listen(shelf.pick.click, None, [shelf.picked], [shelf.vae], js="name => name")


def _cleared() -> list[Any]:
    return [words.note("Refresh shows what the cloud has."), gr.update(choices=[], value=AUTOMATIC)]


def _filled(desk: Desk, thumbnails: Thumbnails, account: str) -> list[Any]:
    client = desk.client(account)
    found = client.checkpoints(types=[LORA, VAE], statuses=["Active"])
    pictures = thumbnails.of(_pictures(client, found))
    vaes = sorted({name for each in found if each.type == VAE for name in each.name})
    return [_html(found, pictures), gr.update(choices=[AUTOMATIC, *vaes])]


def _pictures(client: Client, found: Sequence[Checkpoint]) -> dict[str, Make]:
    """Return how to get each one's picture: this WebUI's own, or the last sample of its training."""
    here = {kind: host.local_previews(kind) for kind in TITLES}
    made: dict[str, Make] = {}
    for each in found:
        path = next((here[each.type][name] for name in each.name if name in here[each.type]), None)
        origin = each.params.get("made_by")
        if path is not None:
            made[each.id] = partial(_opened, path)
        elif isinstance(origin, Mapping) and origin.get("kind") == "lora":
            made[each.id] = partial(_sample, client, str(origin.get("id")))
    return made


def _opened(path: Path) -> Image | None:
    from atelier_webui.results import opened

    with suppress(OSError):  # a picture that is gone is none
        return opened(path.read_bytes(), path.name)
    return None


def _sample(client: Client, training: str) -> Image | None:
    from atelier_webui.trainings import Training

    return Training(client).sample(training)


def _html(found: Sequence[Checkpoint], pictures: Mapping[str, str]) -> str:
    """Return the cards of each kind, and a field that looks among them."""
    groups = "".join(_group(kind, found, pictures) for kind in TITLES)
    if not groups:
        return words.note(NONE_YET)
    search = (
        '<input type="search" class="atelier-search" placeholder="Search" aria-label="Search LoRA and VAE">'
    )
    return f'<div class="atelier-shelf">{search}{groups}</div>'


def _group(kind: CheckpointType, found: Sequence[Checkpoint], pictures: Mapping[str, str]) -> str:
    named = sorted((name, each.id) for each in found if each.type == kind for name in each.name)
    if not named:
        return ""
    cards = "".join(_card(kind, name, pictures.get(id, "")) for name, id in named)
    return f'<h4>{TITLES[kind]}</h4><div class="atelier-cards" role="list">{cards}</div>'


def _card(kind: str, name: str, picture: str) -> str:
    told = stem(name)
    value = told if kind == LORA else name
    return (
        '<div role="listitem"><button type="button" class="atelier-card" aria-pressed="false" '
        f'data-atelier-{kind.lower()}="{escape(value)}">{cover(picture, told)}'
        f'<span class="atelier-prompt" title="{escape(told)}">{escape(told)}</span></button></div>'
    )
