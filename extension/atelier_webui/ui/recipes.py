"""The form of a training: few fields with sane values, and a box for all else that the middleware knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

MACHINES = ["ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g5.2xlarge", "ml.g6.xlarge", "ml.m5.xlarge"]


@dataclass(frozen=True)
class Form:
    """The components whose values make a recipe, in its order."""

    model: Any
    dataset: Any
    values: list[Any]


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
