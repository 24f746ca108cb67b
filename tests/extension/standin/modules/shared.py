"""What the whole WebUI shares: options, the command line, the state of the work that goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradio as gr

from modules import paths
from modules.options import OptionHTML, OptionInfo, Options, options_section

__all__ = ["OptionHTML", "OptionInfo", "cmd_opts", "demo", "opts", "state", "total_tqdm"]

cmd_opts = paths.arguments
config_filename = str(Path(paths.data_path) / "config.json")
demo: gr.Blocks | None = None
sd_model = None
_OUT = Path(paths.data_path) / "outputs"


class State:
    """What is being made now; the progress bar and the Interrupt button use it."""

    def __init__(self) -> None:
        self.server_start = time.time()
        self.end()

    def begin(self, job: str = "(unknown)") -> None:
        """Start anew."""
        self.end()
        self.job, self.job_count, self.time_start = job, -1, time.time()

    def end(self) -> None:
        """Forget the job."""
        self.job, self.job_count, self.job_no = "", 0, 0
        self.sampling_step = self.sampling_steps = 0
        self.skipped = self.interrupted = self.stopping_generation = False
        self.textinfo: str | None = None
        self.time_start = time.time()
        self.job_timestamp = time.strftime("%Y%m%d%H%M%S")
        self.current_image: Any = None
        self.id_live_preview = 0

    def skip(self) -> None:
        """Ask for the next picture."""
        self.skipped = True

    def interrupt(self) -> None:
        """Ask for the end."""
        self.interrupted = True

    def nextjob(self) -> None:
        """Count one more."""
        self.job_no += 1
        self.sampling_step = 0

    def assign_current_image(self, image: Any) -> None:
        """Show a picture of the work."""
        self.current_image = image
        self.id_live_preview += 1


class _Bar:
    def clear(self) -> None:
        """Take the progress bar off the terminal."""

    def updateTotal(self, total: int) -> None:
        """Take the total."""


state = State()
total_tqdm = _Bar()
options_templates: dict[str, OptionInfo] = options_section(
    ("saving-paths", "Saving pictures"),
    {
        "outdir_samples": OptionInfo("", "Output directory for images", gr.Textbox),
        "outdir_txt2img_samples": OptionInfo(str(_OUT / "txt2img-images"), "For txt2img", gr.Textbox),
        "outdir_img2img_samples": OptionInfo(str(_OUT / "img2img-images"), "For img2img", gr.Textbox),
        "outdir_grids": OptionInfo("", "Output directory for grids", gr.Textbox),
        "outdir_txt2img_grids": OptionInfo(str(_OUT / "txt2img-grids"), "Grids of txt2img", gr.Textbox),
        "outdir_img2img_grids": OptionInfo(str(_OUT / "img2img-grids"), "Grids of img2img", gr.Textbox),
        "samples_save": OptionInfo(True, "Always save all generated images", gr.Checkbox),
        "samples_format": OptionInfo("png", "File format for images", gr.Textbox),
        "grid_save": OptionInfo(True, "Always save all generated image grids", gr.Checkbox),
        "grid_format": OptionInfo("png", "File format for grids", gr.Textbox),
        "grid_only_if_multiple": OptionInfo(True, "No grid of one picture", gr.Checkbox),
        "return_grid": OptionInfo(True, "Show the grid", gr.Checkbox),
        "n_rows": OptionInfo(-1, "Rows of a grid", gr.Number),
        "do_not_show_images": OptionInfo(False, "Do not show any images", gr.Checkbox),
        "grid_extended_filename": OptionInfo(False, "Seed and prompt in names of grids", gr.Checkbox),
        "enable_pnginfo": OptionInfo(True, "Write infotexts into images", gr.Checkbox),
        "enable_prompt_comments": OptionInfo(True, "Comments in prompts", gr.Checkbox),
        "CLIP_stop_at_last_layers": OptionInfo(1, "Clip skip", gr.Number),
        "sd_model_checkpoint": OptionInfo(None, "Checkpoint", gr.Textbox),
        "sd_vae": OptionInfo("Automatic", "VAE", gr.Textbox),
        "face_restoration": OptionInfo(False, "Restore faces", gr.Checkbox),
        "tiling": OptionInfo(False, "Tiling", gr.Checkbox),
    },
)
opts = Options(options_templates)
opts.load(Path(config_filename))
