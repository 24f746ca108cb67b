"""The parts of the form that the WebUI has as scripts of its own, and one that can be selected."""

from __future__ import annotations

from typing import Any

import gradio as gr
from modules import processing, scripts
from modules.infotext_utils import PasteField

SAMPLERS = ["DPM++ 2M", "DPM++ SDE", "Euler", "Euler a", "DDIM", "UniPC"]
SCHEDULERS = ["Automatic", "Uniform", "Karras", "Exponential"]


class Sampler(scripts.ScriptBuiltinUI):
    """Sampler, schedule and steps."""

    section = "sampler"

    def title(self) -> str:
        """Return the WebUI's name of it."""
        return "Sampler"

    def ui(self, is_img2img: bool) -> Any:
        """Make the components."""
        with gr.Row():
            sampler = gr.Dropdown(
                SAMPLERS, value=SAMPLERS[0], label="Sampling method", elem_id=f"{self.tabname}_sampling"
            )
            scheduler = gr.Dropdown(
                SCHEDULERS, value=SCHEDULERS[0], label="Schedule type", elem_id=f"{self.tabname}_scheduler"
            )
            steps = gr.Slider(1, 150, 20, step=1, label="Sampling steps", elem_id=f"{self.tabname}_steps")
        self.steps, self.sampler_name = steps, sampler
        self.infotext_fields = [
            PasteField(steps, "Steps", api="steps"),
            PasteField(sampler, "Sampler", api="sampler_name"),
            PasteField(scheduler, "Schedule type", api="scheduler"),
        ]
        return steps, sampler, scheduler

    def setup(self, p: Any, steps: int, sampler: str, scheduler: str) -> None:
        """Say it to the work."""
        p.steps, p.sampler_name, p.scheduler = int(steps), sampler, scheduler


class Seed(scripts.ScriptBuiltinUI):
    """The seed."""

    section = "seed"
    create_group = False

    def title(self) -> str:
        """Return the WebUI's name of it."""
        return "Seed"

    def ui(self, is_img2img: bool) -> Any:
        """Make the component."""
        self.seed = gr.Number(label="Seed", value=-1, precision=0, elem_id=f"{self.tabname}_seed")
        self.infotext_fields = [PasteField(self.seed, "Seed", api="seed")]
        return [self.seed]

    def setup(self, p: Any, seed: float) -> None:
        """Say it to the work."""
        p.seed = int(seed)


class Matrix(scripts.Script):
    """A selectable script, which does the whole work its own way."""

    def title(self) -> str:
        """Return the name in the menu."""
        return "Prompt matrix"

    def ui(self, is_img2img: bool) -> Any:
        """Make a component."""
        return [gr.Checkbox(label="Put variable parts at start of prompt", value=False)]

    def run(self, p: Any, at_start: bool) -> Any:
        """Work here."""
        return processing.process_images(p)
