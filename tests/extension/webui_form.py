"""Forms as the WebUI hands them on: a processing object and the runner of its scripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from PIL import Image

COMMON = {
    "prompt": "a cat",
    "negative_prompt": "",
    "styles": [],
    "seed": -1,
    "subseed": -1,
    "subseed_strength": 0,
    "seed_resize_from_h": -1,
    "seed_resize_from_w": -1,
    "sampler_name": "DPM++ 2M",
    "scheduler": "Automatic",
    "batch_size": 1,
    "n_iter": 1,
    "steps": 20,
    "cfg_scale": 7.0,
    "width": 512,
    "height": 512,
    "restore_faces": None,
    "tiling": None,
    "eta": None,
    "s_churn": None,
    "s_min_uncond": None,
    "s_noise": None,
    "s_tmax": None,
    "s_tmin": None,
    "override_settings": {},
    "refiner_checkpoint": None,
    "refiner_switch_at": None,
    "disable_extra_networks": False,
    "firstpass_image": None,
    "do_not_save_samples": False,
}
TEXT = {
    "enable_hr": False,
    "denoising_strength": 0.7,
    "firstphase_width": 0,
    "firstphase_height": 0,
    "hr_scale": 2.0,
    "hr_upscaler": "Latent",
    "hr_second_pass_steps": 0,
    "hr_resize_x": 0,
    "hr_resize_y": 0,
    "hr_checkpoint_name": None,
    "hr_sampler_name": None,
    "hr_scheduler": None,
    "hr_prompt": "",
    "hr_negative_prompt": "",
}
IMAGE = {
    "resize_mode": 0,
    "denoising_strength": 0.75,
    "image_cfg_scale": 1.5,
    "image_mask": None,
    "mask_blur_x": 4,
    "mask_blur_y": 4,
    "mask_round": True,
    "inpainting_fill": 1,
    "inpaint_full_res": False,
    "inpaint_full_res_padding": 32,
    "inpainting_mask_invert": 0,
    "initial_noise_multiplier": 1.0,
    "latent_mask": None,
}


@dataclass
class Script:
    """A script of the WebUI, and where its controls' values stand among the arguments."""

    name: str
    args_from: int = 0
    args_to: int = 0

    def title(self) -> str:
        return self.name


@dataclass
class Runner:
    """A ScriptRunner."""

    selectable_scripts: list[Script] = field(default_factory=list)
    alwayson_scripts: list[Script] = field(default_factory=list)


def txt2img(**changes: Any) -> Any:
    return SimpleNamespace(**{**COMMON, **TEXT, "scripts": Runner(), **changes})


def img2img(*images: Image.Image, **changes: Any) -> Any:
    started = list(images) or [Image.new("RGB", (64, 64), "red")]
    return SimpleNamespace(**{**COMMON, **IMAGE, "init_images": started, "scripts": Runner(), **changes})
