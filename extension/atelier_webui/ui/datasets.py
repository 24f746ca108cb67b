"""Datasets: a folder of pictures and captions becomes one; seen, cropped, enabled, deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from atelier_webui import datasets
from atelier_webui.compat import listen
from atelier_webui.datasets import Sending, Shelves
from atelier_webui.desk import Desk
from atelier_webui.errors import Problem
from atelier_webui.trainings import ENDED
from atelier_webui.ui import cards, words
from atelier_webui.ui.album import Album, Place
from atelier_webui.ui.answers import CONFIRMED, calling, clearing, confirming, pressing, telling
from atelier_webui.ui.uploading import Uploading

if TYPE_CHECKING:
    from atelier_webui.contract.api.datasets import Dataset

CHOSEN = "atelier_dataset"
REFRESH = "atelier_datasets_refresh"
SIZES = ["512x512", "768x768", "1024x1024"]
FIRST = "Refresh shows what the cloud has."
FOLDER = "A folder with images, and captions in .txt files of the same names."
CHOOSE = "Choose a dataset to see its images."


@dataclass(frozen=True)
class Pane:
    """The components that more than one event needs."""

    account: Any
    message: Any
    listed: Any
    chosen: Any
    told: Any
    album: Any
    place: Any
    more: Any
    size: Any

    @property
    def one(self) -> list[Any]:
        """Return what names the one that is chosen."""
        return [self.account, self.chosen]

    @property
    def seen(self) -> list[Any]:
        """Return what shows the one that is chosen."""
        return [self.told, self.album, self.place, self.more]


def build(desk: Desk, account: Any) -> None:
    """Make the pane; *account* is the menu above all panes."""
    hidden = {"elem_classes": ["atelier-hidden"]}
    with gr.Row(elem_classes=["atelier-actions"]):
        refresh = gr.Button("Refresh", elem_id=REFRESH)
    message = gr.HTML("", elem_id="atelier_datasets_message")
    listed = gr.HTML(words.note(FIRST), elem_id="atelier_datasets")
    chosen = gr.Textbox(label="Chosen", elem_id=CHOSEN, **hidden)
    show = gr.Button("Show", elem_id="atelier_dataset_show", **hidden)
    told = gr.HTML("", elem_id="atelier_dataset_told")
    with gr.Row(elem_classes=["atelier-actions"]):
        buttons = {
            name: gr.Button(name.capitalize(), elem_id=f"atelier_dataset_{name}")
            for name in ("enable", "disable", "delete")
        }
        size = gr.Dropdown(
            label="Crop to",
            choices=SIZES,
            value=SIZES[0],
            allow_custom_value=True,
            elem_id="atelier_dataset_size",
        )
        buttons["crop"] = gr.Button("Crop", elem_id="atelier_dataset_crop")
    album = gr.HTML(words.note(CHOOSE), elem_id="atelier_dataset_album")
    more = gr.Button("More images", visible=False, elem_id="atelier_dataset_more")
    pane = Pane(account, message, listed, chosen, told, album, gr.State(None), more, size)
    _wire(desk, pane, refresh, show)
    _wire_acts(desk, pane, buttons)
    _build_new(desk, account)


def _wire(desk: Desk, pane: Pane, refresh: Any, show: Any) -> None:
    pages = Album()

    def see(account: str, name: str, place: Place | None = None) -> list[Any]:
        if not name:
            return ["", words.note(CHOOSE), None, gr.update(visible=False)]
        page = pages.page(Shelves(desk.client(account)), name, place)
        state = page.state + words.shown(CHOSEN, name)
        return [state, page.html, page.next, gr.update(visible=page.next is not None)]

    listing, seeing = telling(lambda name: _listed(desk, name), 2), telling(see, 4)
    listen(refresh.click, listing, [pane.account], [pane.message, pane.listed])
    listen(show.click, seeing, pane.one, pane.seen, progress="minimal")
    listen(pane.more.click, seeing, [*pane.one, pane.place], pane.seen, progress="minimal")
    of_account = [pane.message, pane.listed, pane.chosen, pane.told, pane.album, pane.more]
    clearing(pane.account, of_account, _cleared(), REFRESH)


def _wire_acts(desk: Desk, pane: Pane, buttons: dict[str, Any]) -> None:
    def acting(act: Any) -> Any:
        def acted(account: str, name: str, *more: str) -> list[Any]:
            if not name:
                raise Problem("Choose a dataset first.")
            return [words.note(act(Shelves(desk.client(account)), name, *more))]

        return telling(acted, 1)

    again, told = pressing(REFRESH), [pane.told]
    for verb, status in (("enable", "Enabled"), ("disable", "Disabled")):
        listen(buttons[verb].click, acting(_settling(status)), pane.one, told, then=again)
    listen(buttons["crop"].click, acting(_crop), [*pane.one, pane.size], told, then=again)
    asked = [*pane.one, gr.Textbox(visible=False)]
    question = confirming("Delete the dataset {} and its images in the cloud?", 3)
    listen(buttons["delete"].click, acting(_delete), asked, told, js=question, then=again)


def _build_new(desk: Desk, account: Any) -> None:
    with gr.Accordion("New dataset, of a folder on your computer", open=False, elem_id="atelier_dataset_new"):
        with gr.Row():
            name = gr.Textbox(
                label="Name", placeholder="letters, digits, - and _", elem_id="atelier_dataset_name"
            )
            about = gr.Textbox(label="What it shows", elem_id="atelier_dataset_description")
        # not gr.File: gradio 3 forgets what it is sending when anything else of the page changes meanwhile
        with gr.Row(elem_id="atelier_dataset_files"):
            files = gr.UploadButton("Choose the folder", file_count="directory")
        found = gr.HTML(words.note(FOLDER), elem_id="atelier_dataset_found")
        with gr.Row():
            start = gr.Button("Upload", variant="primary", elem_id="atelier_dataset_upload")
            stop = gr.Button("Stop", elem_id="atelier_dataset_stop")
            discard = gr.Button("Discard what is there", elem_id="atelier_dataset_discard")
        progress = gr.HTML("", elem_id="atelier_dataset_progress")
        upload = gr.State(None)
    listen(files.upload, telling(_found, 1), [files], [found], then=calling("atelierSent()"))
    given, shown = [upload, account, name, about, files], [progress, upload]

    def uploading(*values: Any) -> Iterator[list[Any]]:
        yield from _upload(desk, *values)

    listen(start.click, uploading, given, shown, then=pressing(REFRESH))
    listen(stop.click, lambda upload: upload.stop() if upload else None, [upload])
    listen(discard.click, telling(_discard, 2), [upload], shown, then=pressing(REFRESH))


def _listed(desk: Desk, account: str) -> list[Any]:
    found = Shelves(desk.client(account)).all()
    shown = cards.html(map(_card, found), of="dataset", empty="There is no dataset yet: make one below.")
    return [words.answered_of(account, REFRESH), shown]


def _card(row: Dataset) -> cards.Card:
    """Show a dataset; one that is being cropped tells of that work."""
    crop = row.more.get("crop")
    state = str(crop.get("status")) if isinstance(crop, dict) else ""
    waits = bool(state) and state not in ENDED
    status = f"{row.status}, cropping" if waits else row.status
    time = words.when(row.timestamp)
    return cards.Card(id=row.datasetName, status=status, text=row.datasetName, time=time, waits=waits)


def _cleared() -> list[Any]:
    return ["", words.note(FIRST), "", "", words.note(CHOOSE), gr.update(visible=False)]


def _settling(status: Any) -> Any:
    def settle(shelves: Shelves, name: str) -> str:
        shelves.settle(name, status)
        return f"{name} is {status}."

    return settle


def _crop(shelves: Shelves, name: str, size: str) -> str:
    made = shelves.crop(name, size.strip())
    return f"{made} is being made of the images of {name}."


def _delete(shelves: Shelves, name: str, sure: str) -> str:
    if sure != CONFIRMED:
        return "Nothing was deleted."
    shelves.delete(name)
    return f"{name} is deleted."


def _paths(files: Any) -> list[Path]:
    """Return where the browser's files lie now; both versions of gradio say it as `name`."""
    return [Path(each.name) for each in files or []]


def _found(files: Any) -> list[Any]:
    folder = datasets.folder(_paths(files))
    told = f"{len(folder.images)} images, {len(folder.images) - len(folder.uncaptioned)} with a caption."
    if folder.uncaptioned:
        told += f" Without: {_some(folder.uncaptioned)}."
    if folder.others:
        told += f" Left out: {_some(folder.others)}."
    return [words.note(told)]


def _some(paths: Sequence[Path]) -> str:
    names = [each.name for each in paths[:5]]
    return ", ".join(names) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")


def _upload(
    desk: Desk, before: Uploading | None, account: str, name: str, about: str, files: Any
) -> Iterator[list[Any]]:
    wanted = Uploading(wanted=(account, name.strip(), about, tuple(_paths(files))))
    if before is not None and before.can_go_on(wanted):
        wanted = before
    else:
        _prepare(wanted, desk, account, name.strip(), about, files)
    for line in wanted.run():
        yield [line, wanted]


def _prepare(new: Uploading, desk: Desk, account: str, name: str, about: str, files: Any) -> None:
    """Make what sends the folder; `run` says what is wrong with it."""
    try:
        folder = datasets.folder(_paths(files))
        new.upload = Sending(Shelves(desk.client(account)), name, folder, about.strip(), new.show)
    except Problem as problem:
        new.problem = problem


def _discard(upload: Uploading | None) -> list[Any]:
    if upload is None or not upload.discard():
        return [words.note("There is nothing to discard."), None]
    return [words.note("The dataset is deleted."), None]
