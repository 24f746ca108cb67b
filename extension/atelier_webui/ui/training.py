"""Trainings: a LoRA of one's own pictures; how it goes, seen while it goes."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from atelier_webui.compat import listen
from atelier_webui.datasets import Shelves
from atelier_webui.desk import Desk
from atelier_webui.errors import Problem
from atelier_webui.recipes import Recipe
from atelier_webui.trainings import ENDED, Training, log, picture
from atelier_webui.ui import cards, plot, recipes, words, work
from atelier_webui.ui.answers import pressing, telling
from atelier_webui.ui.thumbnails import Thumbnails

if TYPE_CHECKING:
    from atelier_webui.client import Client
    from atelier_webui.contract.api.trainings import Training as Row
    from atelier_webui.contract.api.trainings import TrainingDetail

SAMPLES = 12
"""The samples that are shown, the last ones."""


class Trainings:
    """Trainings, as work that is listed and watched."""

    name = "training"

    def __init__(self) -> None:
        self._samples = Thumbnails()
        self._covers = Thumbnails()

    def page(self, client: Client, start: str | None) -> work.Page:
        """Return a card for each training, with the last sample of those that are over."""
        training = Training(client)
        page = training.page(limit=work.LIMIT, start=start)
        done = [each.id for each in page.trainings if each.status == "Completed"]
        covers = self._covers.of({id: partial(training.sample, id) for id in done})
        return work.Page(
            [_card(each, covers.get(each.id, "")) for each in page.trainings], page.last_evaluated_key
        )

    def detail(self, client: Client, id: str) -> work.Detail:
        """Return how a training stands: its loss, its samples, its log."""
        found = Training(client).get(id)
        wanted = {
            f"{id}/{each.filename}": partial(picture, client, each) for each in found.samples[-SAMPLES:]
        }
        shown = _state(found) + plot.loss(found.metrics) + _samples(self._samples.of(wanted))
        return work.Detail(shown, log(client, found.logs))

    def stop(self, client: Client, id: str) -> None:
        """Stop a training."""
        Training(client).stop(id)

    def delete(self, client: Client, id: str) -> None:
        """Delete a training."""
        Training(client).delete(id)


def build(desk: Desk, account: Any) -> None:
    """Make the pane; *account* is the menu above all panes."""
    with gr.Accordion("Train a LoRA", open=True, elem_id="atelier_training_new"):
        form = recipes.build()
        begin = gr.Button("Train", variant="primary", elem_id="atelier_training_begin")
        said = gr.HTML("", elem_id="atelier_training_said")
    lacks = gr.HTML("", elem_id="atelier_training_lacks")
    pane = work.build(desk, account, Trainings())
    menus = [lacks, form.model, form.dataset]
    listen(pane.refresh.click, telling(lambda name: _choices(desk, name), 3), [account], menus)
    begun = [said, pane.chosen]
    given = [account, *form.values]
    beginning = telling(lambda name, *values: _begin(desk, name, Recipe.of(values)), 2)
    again = pressing("atelier_training_look")
    listen(begin.click, beginning, given, begun, progress="minimal", then=again)


def _choices(desk: Desk, account: str) -> list[Any]:
    """Return what may be trained, and on what; who may not see one of it may still write its name."""
    client = desk.client(account)
    models = client.checkpoints(types=["Stable-diffusion"], statuses=["Active"])
    names = [name for each in models for name in each.name]
    datasets = [each.datasetName for each in Shelves(client).all("Enabled")]
    return ["", gr.update(choices=names), gr.update(choices=datasets)]


def _begin(desk: Desk, account: str, recipe: Recipe) -> list[Any]:
    on, settings = recipe.on(), recipe.settings()
    made = Training(desk.client(account)).begin(on, recipe.name, settings)
    told = f"The training of {recipe.name} begins; its loss and samples appear below."
    return [words.note(told), made.id]


def _card(row: Row, cover: str) -> cards.Card:
    return cards.Card(
        id=row.id,
        status=row.status,
        text=row.modelName.removesuffix(".safetensors"),
        time=words.when(row.created),
        picture=cover,
        waits=row.status not in ENDED,
    )


def _state(found: TrainingDetail) -> str:
    on, name = found.params.training_params, found.params.config_params.output_name
    made_of = f"of {on.get('dataset')} on {on.get('model')}"
    told = f"{name}: {found.job_status}, {made_of}, begun {words.when(found.timestamp)}."
    if found.job_status == "Failed":
        return words.problem(Problem(f"{told} {found.error or 'It gave no reason.'}"))
    if found.job_status == "Completed":
        told += f" {name}.safetensors is in the cloud: the accordion in txt2img offers it."
    return words.note(told) + _progress(found)


def _progress(found: TrainingDetail) -> str:
    """Return a bar of the epochs, while it goes."""
    if found.job_status in ENDED or not found.metrics:
        return ""
    last = found.metrics[-1]
    epochs = str(found.params.config_params.more.get("max_train_epochs", ""))
    of = f" of {epochs}" if epochs.isdecimal() else ""
    told = f"Epoch {last.epoch}{of}, step {last.step}, loss {last.loss:.3g}"
    return words.progress(last.epoch - 1, int(epochs), told) if of else words.note(told)


def _samples(shown: dict[str, str]) -> str:
    if not shown:
        return ""
    images = "".join(
        f'<figure><img src="{url}" alt=""><figcaption>{escape(_named(name))}</figcaption></figure>'
        for name, url in shown.items()
    )
    return f'<div class="atelier-pictures">{images}</div>'


def _named(name: str) -> str:
    """Return what a sample's name, such as 000002-0.png, says of its epoch."""
    number = name.rpartition("/")[2].partition("-")[0]
    return f"epoch {int(number)}" if number.isdecimal() else name.rpartition("/")[2]
