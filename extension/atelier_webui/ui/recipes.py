"""The form of a training: few fields with sane values, and a box for all else that the middleware knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import gradio as gr

from atelier_webui.errors import Problem

if TYPE_CHECKING:
    from atelier_webui.contract.api.trainings import TrainedOn

MACHINES = ["ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g5.2xlarge", "ml.g6.xlarge", "ml.m5.xlarge"]


@dataclass(frozen=True)
class Form:
    """The components whose values make a recipe, in its order."""

    model: Any
    dataset: Any
    values: list[Any]


@dataclass(frozen=True)
class Recipe:
    """What the form says."""

    model: str
    dataset: str
    output_name: str
    machine: str
    epochs: float
    save_every: float
    repeats: float
    batch: float
    resolution: float
    rank: float
    alpha: float
    rate: str
    trains_text: bool
    text_rate: str
    seed: float
    prompts: str
    more: str

    @classmethod
    def of(cls, values: Sequence[Any]) -> Recipe:
        """Read the form's values, in the order of the members."""
        return cls(**{each.name: value for each, value in zip(fields(cls), values, strict=True)})

    def on(self) -> TrainedOn:
        """Return what is trained, and where; raise Problem when something of it is missing."""
        from atelier_webui.contract.api.trainings import TrainedOn

        named = {"a base checkpoint": self.model, "a dataset": self.dataset, "a name": self.output_name}
        if missing := [what for what, value in named.items() if not (value or "").strip()]:
            raise Problem(f"Choose {' and '.join(missing)} first.")
        return TrainedOn(
            training_instance_type=self.machine.strip(),
            model=self.model,
            dataset=self.dataset,
            fm_type="sd_1_5",
        )

    def settings(self) -> dict[str, Any]:
        """Return how to train, by the contract's names; what is written in the box below wins."""
        found: dict[str, Any] = {
            "max_train_epochs": int(self.epochs or 0),
            "dataset_repeats": int(self.repeats or 0),
            "train_batch_size": int(self.batch or 0),
            "resolution": int(self.resolution or 0),
            "network_dim": int(self.rank or 0),
            "network_alpha": self.alpha,
            "unet_lr": _number("the learning rate", self.rate),
            "network_train_unet_only": not self.trains_text,
        }
        if self.save_every:
            found["save_every_n_epochs"] = int(self.save_every)
        if self.trains_text:
            found["text_encoder_lr"] = _number("the text encoder's learning rate", self.text_rate)
        if self.seed is not None and self.seed >= 0:
            found["seed"] = int(self.seed)
        if self.prompts.strip():
            found["sample_prompts"] = self.prompts.strip()
        return {**found, **_more(self.more)}


def build() -> Form:
    """Make the form's components."""
    with gr.Row():
        model = _menu("Base checkpoint", "model")
        dataset = _menu("Dataset", "dataset")
        name = gr.Textbox(label="Name of the LoRA", placeholder="my-style", elem_id="atelier_training_name")
        machine = gr.Dropdown(
            label="Machine",
            choices=MACHINES,
            value=MACHINES[1],
            allow_custom_value=True,
            elem_id="atelier_training_machine",
        )
    with gr.Row():
        epochs = _count("Epochs", 10, "epochs")
        save_every = _count("Save and sample every … epochs", 1, "save_every")
        repeats = _count("Repeats of each image", 10, "repeats")
        batch = _count("Batch size", 1, "batch")
        resolution = _count("Resolution", 512, "resolution")
    with gr.Row():
        rank = _count("Rank", 16, "rank")
        alpha = gr.Number(label="Alpha", value=16, elem_id="atelier_training_alpha")
        rate = gr.Textbox(label="Learning rate", value="1e-4", elem_id="atelier_training_rate")
        trains_text = gr.Checkbox(
            label="Train the text encoder", value=False, elem_id="atelier_training_trains_text"
        )
        text_rate = gr.Textbox(label="Its learning rate", value="5e-5", elem_id="atelier_training_text_rate")
        seed = _count("Seed", 42, "seed")
    with gr.Accordion("More", open=False, elem_id="atelier_training_more_of"), gr.Row():
        prompts = gr.Textbox(
            label="Sample prompts, one a line (or none: the first caption)",
            lines=3,
            elem_id="atelier_training_prompts",
        )
        more = gr.Textbox(
            label="Other settings, one a line: name = value",
            placeholder="lr_scheduler = cosine\nmin_snr_gamma = 5",
            lines=3,
            elem_id="atelier_training_more",
        )
    first = [model, dataset, name, machine, epochs, save_every, repeats, batch, resolution]
    return Form(model, dataset, [*first, rank, alpha, rate, trains_text, text_rate, seed, prompts, more])


def _menu(label: str, name: str) -> Any:
    return gr.Dropdown(
        label=label, choices=[], value="", elem_id=f"atelier_training_{name}", allow_custom_value=True
    )


def _count(label: str, value: int, name: str) -> Any:
    return gr.Number(label=label, value=value, precision=0, elem_id=f"atelier_training_{name}")


def _number(what: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Problem(f"{what.capitalize()} must be a number such as 1e-4, not {text[:40]!r}.") from None


def _more(text: str) -> dict[str, Any]:
    """Read lines of a name and a value; the middleware refuses a name that it does not know."""
    found: dict[str, Any] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, sign, value = map(str.strip, line.partition("="))
        if not name or not sign or not value:
            raise Problem(f"{line[:60]!r} is no setting: write name = value, one a line.")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    """Return yes and no, and numbers, as what they are; the rest is text."""
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
