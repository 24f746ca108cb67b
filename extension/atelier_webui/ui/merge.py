"""Merges: a checkpoint made of one, two or three others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr

from atelier_webui.compat import listen
from atelier_webui.desk import Desk
from atelier_webui.errors import Problem
from atelier_webui.merges import Merging
from atelier_webui.trainings import ENDED, log
from atelier_webui.ui import cards, words, work
from atelier_webui.ui.answers import pressing, telling

if TYPE_CHECKING:
    from atelier_webui.client import Client
    from atelier_webui.contract.api.merges import Merge, MergeDetail

METHODS: Mapping[str, str] = {
    "Weighted sum: A * (1 - M) + B * M": "weighted_sum",
    "Add difference: A + (B - C) * M": "add_difference",
    "No interpolation: A": "no_interpolation",
}
PRECISIONS = ["fp16", "bf16", "fp32"]


class Merges:
    """Merges, as work that is listed and watched."""

    name = "merge"

    def page(self, client: Client, start: str | None) -> work.Page:
        """Return a card for each merge."""
        page = Merging(client).page(limit=work.LIMIT, start=start)
        return work.Page([_card(each) for each in page.merges], page.last_evaluated_key)

    def detail(self, client: Client, id: str) -> work.Detail:
        """Return how a merge stands, and its log."""
        found = Merging(client).get(id)
        return work.Detail(_state(found), log(client, found.logs))

    def stop(self, client: Client, id: str) -> None:
        """Stop a merge."""
        Merging(client).stop(id)

    def delete(self, client: Client, id: str) -> None:
        """Delete a merge."""
        Merging(client).delete(id)


def build(desk: Desk, account: Any) -> None:
    """Make the pane; *account* is the menu above all panes."""
    with gr.Accordion("Merge checkpoints", open=True, elem_id="atelier_merge_new"):
        with gr.Row():
            parents = [_menu(letter) for letter in "ABC"]
        with gr.Row():
            method = gr.Radio(
                label="Method",
                choices=list(METHODS),
                value=next(iter(METHODS)),
                elem_id="atelier_merge_method",
            )
            multiplier = gr.Slider(
                0, 1, 0.3, step=0.01, label="Multiplier (M)", elem_id="atelier_merge_multiplier"
            )
        with gr.Row():
            name = gr.Textbox(label="Name of the result", elem_id="atelier_merge_name")
            precision = gr.Radio(
                label="Precision", choices=PRECISIONS, value=PRECISIONS[0], elem_id="atelier_merge_precision"
            )
            begin = gr.Button("Merge", variant="primary", elem_id="atelier_merge_begin")
        said = gr.HTML("", elem_id="atelier_merge_said")
    lacks = gr.HTML("", elem_id="atelier_merge_lacks")
    pane = work.build(desk, account, Merges())
    listen(pane.refresh.click, telling(lambda name: _choices(desk, name), 4), [account], [lacks, *parents])
    given = [account, *parents, method, multiplier, name, precision]
    listen(
        begin.click,
        telling(lambda *values: _begin(desk, *values), 2),
        given,
        [said, pane.chosen],
        progress="minimal",
        then=pressing("atelier_merge_look"),
    )


def _menu(letter: str) -> Any:
    return gr.Dropdown(
        label=f"Checkpoint {letter}",
        choices=[],
        value="",
        elem_id=f"atelier_merge_{letter.lower()}",
        allow_custom_value=True,
    )


def _choices(desk: Desk, account: str) -> list[Any]:
    found = desk.client(account).checkpoints(types=["Stable-diffusion"], statuses=["Active"])
    names = [name for each in found for name in each.name]
    return ["", *(gr.update(choices=names) for _ in "ABC")]


def _begin(
    desk: Desk,
    account: str,
    a: str,
    b: str,
    c: str,
    method: str,
    multiplier: float,
    name: str,
    precision: Any,
) -> list[Any]:
    if not name.strip():
        raise Problem("Give the result a name first.")
    kind: Any = METHODS[method]
    made = Merging(desk.client(account)).begin(
        kind, (a, b, c), name.strip(), multiplier=multiplier, precision=precision
    )
    return [words.note(f"{made.output_name} is being made; below is how far it is."), made.id]


def _card(row: Merge) -> cards.Card:
    time, waits = words.when(row.created), row.status not in ENDED
    return cards.Card(id=row.id, status=row.status, text=row.output_name, time=time, waits=waits)


def _state(found: MergeDetail) -> str:
    told = f"{found.output_name}: {found.status}. {_recipe(found)}"
    if found.status == "Failed":
        return words.problem(Problem(f"{told} {found.error or 'It gave no reason.'}"))
    if found.status == "Completed":
        told += f" {found.output_name}.safetensors is in the cloud."
    return words.note(told) + _progress(found)


def _recipe(found: Merge) -> str:
    """Say how it is made, with the parents' own names."""
    a, b, c = (*(each.name for each in found.parents), "", "", "")[:3]
    weight = f"{found.multiplier:g}"
    recipes = {
        "weighted_sum": f"{a} * (1 - {weight}) + {b} * {weight}",
        "add_difference": f"{a} + ({b} - {c}) * {weight}",
    }
    return f"{recipes.get(found.method, a)}, in {found.precision}."


def _progress(found: MergeDetail) -> str:
    if found.status in ENDED or found.progress is None:
        return ""
    done, of = found.progress.done, found.progress.of
    return words.progress(int(done), int(of), f"{words.size(done)} of {words.size(of)}")
