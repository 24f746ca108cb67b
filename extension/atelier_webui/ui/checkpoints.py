"""The checkpoints in the cloud: upload, fetch from URLs, rename, delete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from atelier_webui import host
from atelier_webui.compat import listen
from atelier_webui.desk import Desk
from atelier_webui.errors import Problem
from atelier_webui.ui import words
from atelier_webui.ui.answers import CONFIRMED, clearing, confirming, emptied, pressing, telling
from atelier_webui.ui.uploading import Uploading

if TYPE_CHECKING:
    from atelier_webui.contract.api.checkpoints import Checkpoint

KINDS = list(host.FOLDERS)
REFRESH = "atelier_checkpoints_refresh"


def build(desk: Desk, account: Any) -> None:
    """Make the pane; *account* is the menu above all panes."""
    message = gr.HTML("", elem_id="atelier_checkpoints_message")
    listed = gr.HTML(words.note("Refresh shows what the cloud has."), elem_id="atelier_checkpoints")
    with gr.Row(elem_classes=["atelier-actions"]):
        refresh = gr.Button("Refresh", elem_id=REFRESH)
        chosen = gr.Dropdown(
            label="Checkpoint",
            choices=[],
            value="",
            elem_id="atelier_checkpoints_chosen",
            allow_custom_value=True,
        )
        name = gr.Textbox(label="New name", elem_id="atelier_checkpoints_name")
        rename = gr.Button("Rename", elem_id="atelier_checkpoints_rename")
        delete = gr.Button("Delete", elem_id="atelier_checkpoints_delete")
    told = gr.HTML("", elem_id="atelier_checkpoints_told")
    outputs, changed = [message, listed, chosen], [told, listed, chosen]
    listen(
        refresh.click, telling(lambda name: _refresh(desk, name), 3), [account], outputs, progress="minimal"
    )
    clearing(account, [*outputs, told], [*_cleared(), ""], REFRESH)
    listen(rename.click, telling(lambda *given: _rename(desk, *given), 3), [account, chosen, name], changed)
    listen(
        delete.click,
        telling(lambda *given: _delete(desk, *given), 3),
        [account, chosen, gr.Textbox(visible=False)],
        changed,
        js=confirming("Delete {} in the cloud?", 3),
    )
    _build_upload(desk, account, refresh)
    _build_urls(desk, account, changed)


def _build_upload(desk: Desk, account: Any, refresh: Any) -> None:
    with gr.Accordion("Upload from this computer", elem_id="atelier_upload"):
        with gr.Row():
            kind = gr.Dropdown(label="Kind", choices=KINDS, value=KINDS[0], elem_id="atelier_upload_kind")
            files = gr.Dropdown(
                label="Files in this WebUI's folders (.safetensors)",
                choices=list(host.local_checkpoints(KINDS[0])),
                value=[],
                multiselect=True,
                elem_id="atelier_upload_files",
            )
        remark = gr.Textbox(label="Remark", elem_id="atelier_upload_remark")
        with gr.Row():
            start = gr.Button("Upload", variant="primary", elem_id="atelier_upload_start")
            stop = gr.Button("Stop", elem_id="atelier_upload_stop")
            discard = gr.Button("Discard what is there", elem_id="atelier_upload_discard")
        progress = gr.HTML("", elem_id="atelier_upload_progress")
        upload = gr.State(None)
    listen(kind.change, _local, [kind], [files])
    listen(refresh.click, lambda kind: gr.update(choices=list(host.local_checkpoints(kind))), [kind], [files])
    given, shown = [upload, account, kind, files, remark], [progress, upload]

    def uploading(*values: Any) -> Iterator[list[Any]]:
        yield from _upload(desk, *values)

    listen(start.click, uploading, given, shown, then=pressing(REFRESH))
    listen(stop.click, lambda upload: upload.stop() if upload else None, [upload])
    listen(discard.click, telling(lambda upload: _discard(upload), 2), [upload], shown)


def _build_urls(desk: Desk, account: Any, changed: list[Any]) -> None:
    with gr.Accordion("Have the cloud fetch it from URLs", open=False, elem_id="atelier_urls"):
        with gr.Row():
            kind = gr.Dropdown(label="Kind", choices=KINDS, value=KINDS[0], elem_id="atelier_urls_kind")
            urls = gr.Textbox(label="URLs, one a line", lines=2, elem_id="atelier_urls_urls")
        fetch = gr.Button("Fetch", elem_id="atelier_urls_start")
    listen(fetch.click, telling(lambda *given: _fetch(desk, *given), 3), [account, kind, urls], changed)


def _local(kind: str) -> Any:
    return gr.update(choices=list(host.local_checkpoints(kind)), value=[])


def _upload(
    desk: Desk, before: Uploading | None, account: str, kind: str, names: Sequence[str], remark: str
) -> Iterator[list[Any]]:
    wanted = Uploading.of(desk, account, kind, tuple(names or ()), remark)
    upload = before if before is not None and before.can_go_on(wanted) else wanted
    for line in upload.run():
        yield [line, upload]


def _discard(upload: Uploading | None) -> list[Any]:
    if upload is None or not upload.discard():
        return [words.note("There is nothing to discard."), None]
    return [words.note("What was uploaded of it is deleted."), None]


def _fetch(desk: Desk, account: str, kind: Any, urls: str) -> list[Any]:
    wanted = urls.split()
    if not wanted:
        return [words.note("Give at least one URL."), gr.update(), gr.update()]
    desk.client(account).fetch_checkpoint(kind, wanted)
    told = "The cloud fetches it; Refresh shows it as Active when it is there."
    return [words.note(told), *_listed(desk, account)]


def _refresh(desk: Desk, account: str) -> list[Any]:
    return [words.answered_of(account, REFRESH), *_listed(desk, account)]


def _cleared() -> list[Any]:
    return ["", words.note("Refresh shows what the cloud has."), gr.update(choices=[], value="")]


def _rename(desk: Desk, account: str, chosen: str, name: str) -> list[Any]:
    if not chosen or not name:
        return [words.note("Choose a checkpoint and give it a name."), gr.update(), gr.update()]
    client = desk.client(account)
    client.rename_checkpoint(_id(client.checkpoints(), chosen), name)
    return [words.note(f"{chosen} gets the name {name}."), *emptied(*_listed(desk, account))]


def _delete(desk: Desk, account: str, chosen: str, sure: str) -> list[Any]:
    if sure != CONFIRMED or not chosen:
        return [words.note("Nothing was deleted."), gr.update(), gr.update()]
    client = desk.client(account)
    client.delete_checkpoints([_id(client.checkpoints(), chosen)])
    return [words.note(f"{chosen} is deleted."), *emptied(*_listed(desk, account))]


def _listed(desk: Desk, account: str) -> list[Any]:
    found = desk.client(account).checkpoints()
    rows = [(_label(each), each.type, each.status, words.when(each.created)) for each in found]
    heads = ("Name", "Kind", "Status", "Made (UTC)")
    shown = words.table("Checkpoints in the cloud", heads, rows, "The cloud has no checkpoint yet.")
    labels = [_label(each) for each in found]
    return [shown, gr.update(choices=labels)]


def _label(checkpoint: Checkpoint) -> str:
    """Name a checkpoint so that two are never the same: a name is its owner's choice."""
    return f"{', '.join(checkpoint.name)} · {checkpoint.id[:8]}"


def _id(checkpoints: Sequence[Checkpoint], label: str) -> str:
    found = next((each.id for each in checkpoints if _label(each) == label), None)
    if found is None:
        raise Problem(f"There is no checkpoint {label} any more: refresh the list.")
    return found
