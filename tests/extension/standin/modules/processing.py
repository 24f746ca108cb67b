"""The work: what the form said, and what came of it. Here a local picture is one colour, made of the seed."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from modules import images
from modules.shared import opts


@dataclass(repr=False)
class StableDiffusionProcessing:
    """What the form of either tab said."""

    sd_model: Any = None
    outpath_samples: str | None = None
    outpath_grids: str | None = None
    prompt: Any = ""
    prompt_for_display: str | None = None
    negative_prompt: Any = ""
    styles: list[str] | None = None
    seed: int = -1
    subseed: int = -1
    subseed_strength: float = 0
    seed_resize_from_h: int = -1
    seed_resize_from_w: int = -1
    seed_enable_extras: bool = True
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: int = 1
    n_iter: int = 1
    steps: int = 50
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    extra_generation_params: dict[str, Any] = field(default_factory=dict)
    overlay_images: list[Any] | None = None
    eta: float | None = None
    denoising_strength: float | None = None
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    override_settings: dict[str, Any] = field(default_factory=dict)
    override_settings_restore_afterwards: bool = True
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    disable_extra_networks: bool = False
    firstpass_image: Any = None

    def __post_init__(self) -> None:
        self.styles = self.styles or []
        self.comments: dict[str, int] = {}
        self.is_api = False
        self.user: str | None = None
        self.iteration = self.batch_index = 0
        self.main_prompt = self.main_negative_prompt = None
        self.sd_model_name = self.sd_model_hash = self.sd_vae_name = self.sd_vae_hash = None
        self.all_prompts: list[str] | None = None
        self.all_negative_prompts: list[str] | None = None
        self.all_seeds: list[int] | None = None
        self.all_subseeds: list[int] | None = None
        self._scripts: Any = None
        self._script_args: Any = None
        self._is_set_up = False

    @property
    def scripts(self) -> Any:
        """Return the tab's scripts."""
        return self._scripts

    @scripts.setter
    def scripts(self, value: Any) -> None:
        self._scripts = value
        self._set_up()

    @property
    def script_args(self) -> Any:
        """Return the arguments of all scripts."""
        return self._script_args

    @script_args.setter
    def script_args(self, value: Any) -> None:
        self._script_args = value
        self._set_up()

    def _set_up(self) -> None:
        if self._scripts and self._script_args and not self._is_set_up:
            self._is_set_up = True
            self._scripts.setup_scrips(self, is_ui=not self.is_api)

    def setup_prompts(self) -> None:
        """Put the styles into the prompts: here there are none."""
        count = self.batch_size * self.n_iter
        self.main_prompt, self.main_negative_prompt = self.prompt, self.negative_prompt
        self.all_prompts, self.all_negative_prompts = [self.prompt] * count, [self.negative_prompt] * count

    def comment(self, text: str) -> None:
        """Say something below the picture."""
        self.comments[text] = 1

    def save_samples(self) -> bool:
        """Say whether pictures go to the disk."""
        return bool(opts.samples_save and not self.do_not_save_samples)

    def close(self) -> None:
        """Let go of what was needed."""


@dataclass(repr=False)
class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    """What the form of txt2img said."""

    enable_hr: bool = False
    denoising_strength: float | None = 0.75
    firstphase_width: int = 0
    firstphase_height: int = 0
    hr_scale: float = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int = 0
    hr_resize_x: int = 0
    hr_resize_y: int = 0
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str = ""
    hr_negative_prompt: str = ""


@dataclass(repr=False)
class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    """What the form of img2img said."""

    init_images: list[Any] | None = None
    resize_mode: int = 0
    denoising_strength: float | None = 0.75
    image_cfg_scale: float | None = None
    mask: Any = None
    mask_blur_x: int = 4
    mask_blur_y: int = 4
    mask_blur: int | None = None
    mask_round: bool = True
    inpainting_fill: int = 0
    inpaint_full_res: bool = True
    inpaint_full_res_padding: int = 0
    inpainting_mask_invert: int = 0
    initial_noise_multiplier: float | None = None
    latent_mask: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.image_mask = self.mask
        self.mask = None


class Processed:
    """What came of the work."""

    def __init__(
        self,
        p: StableDiffusionProcessing,
        images_list: list[Any],
        seed: int = -1,
        info: str = "",
        subseed: int | None = None,
        all_prompts: list[str] | None = None,
        all_negative_prompts: list[str] | None = None,
        all_seeds: list[int] | None = None,
        all_subseeds: list[int] | None = None,
        index_of_first_image: int = 0,
        infotexts: list[str] | None = None,
        comments: str = "",
    ) -> None:
        self.images, self.seed, self.info, self.subseed = images_list, int(seed), info, subseed
        self.prompt, self.negative_prompt = p.prompt, p.negative_prompt
        self.width, self.height, self.sampler_name = p.width, p.height, p.sampler_name
        self.cfg_scale, self.steps, self.batch_size = p.cfg_scale, p.steps, p.batch_size
        self.sd_model_name, self.sd_model_hash = p.sd_model_name, p.sd_model_hash
        self.comments = "".join(f"{each}\n" for each in p.comments) + comments
        self.all_prompts = all_prompts or p.all_prompts or [self.prompt]
        self.all_negative_prompts = all_negative_prompts or p.all_negative_prompts or [self.negative_prompt]
        self.all_seeds = all_seeds or p.all_seeds or [self.seed]
        self.all_subseeds = all_subseeds or p.all_subseeds or [self.subseed]
        self.index_of_first_image = index_of_first_image
        self.infotexts = infotexts or [info] * len(images_list)

    def js(self) -> str:
        """Return what the page keeps of it."""
        kept = ("prompt", "negative_prompt", "seed", "width", "height", "sampler_name", "cfg_scale", "steps")
        kept += ("all_prompts", "all_seeds", "index_of_first_image", "infotexts", "sd_model_name")
        return json.dumps({name: getattr(self, name) for name in kept}, default=str)


def process_images(p: StableDiffusionProcessing) -> Processed:
    """Make the pictures here."""
    if p.scripts is not None:
        p.scripts.before_process(p)
        p.scripts.process(p)
    first = int(p.seed) if int(p.seed) != -1 else random.randrange(2**32)
    made, infotexts = [], []
    for seed in range(first, first + p.n_iter * p.batch_size):
        infotext = create_infotext(p, seed)
        picture = Image.new("RGB", (p.width, p.height), tuple(seed.to_bytes(8, "big")[-3:]))
        picture.info["parameters"] = infotext
        if p.save_samples():
            images.save_image(
                picture, p.outpath_samples, "", seed, p.prompt, opts.samples_format, info=infotext, p=p
            )
        made.append(picture)
        infotexts.append(infotext)
    processed = Processed(p, made, first, infotexts[0], infotexts=infotexts)
    if p.scripts is not None:
        p.scripts.postprocess(p, processed)
    return processed


def create_infotext(p: StableDiffusionProcessing, seed: int) -> str:
    """Say how a picture was made."""
    told = f"Steps: {p.steps}, Sampler: {p.sampler_name}, CFG scale: {p.cfg_scale}, Seed: {seed}"
    negative = f"\nNegative prompt: {p.negative_prompt}" if p.negative_prompt else ""
    return f"{p.prompt}{negative}\n{told}, Size: {p.width}x{p.height}, Version: stand-in"
