"""Fields of the WebUI's sdapi that this container does not act on, and the values that change nothing.

A client that sends a whole sdapi form sends these too. Their neutral values are accepted; any other value
asks for something that would not happen, and is refused by name.
"""

from collections.abc import Mapping
from typing import Any

from diffusion.errors import Invalid

#: Each with the values that ask for nothing.
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "alwayson_scripts": ({},),
    "comments": ({},),
    "disable_extra_networks": (False, True),
    "do_not_save_grid": (False, True),
    "do_not_save_samples": (False, True),
    "enable_hr": (False,),
    "eta": (),
    "firstpass_image": (),
    "infotext": ("",),
    "override_settings_restore_afterwards": (False, True),
    "refiner_checkpoint": ("", "None"),
    "restore_faces": (False,),
    "s_churn": (0,),
    "s_min_uncond": (0,),
    "s_noise": (1,),
    "s_tmax": (),
    "s_tmin": (0,),
    "save_images": (False,),
    "script_args": ([],),
    "script_name": ("", "None"),
    "seed_resize_from_h": (-1, 0),
    "seed_resize_from_w": (-1, 0),
    "send_images": (True,),
    "styles": ([],),
    "subseed_strength": (0,),
    "tiling": (False,),
}

#: What only tells more about one of the above, or about the WebUI's own progress bar.
MOOT = frozenset(
    {
        "firstphase_height",
        "firstphase_width",
        "force_task_id",
        "hr_checkpoint_name",
        "hr_negative_prompt",
        "hr_prompt",
        "hr_resize_x",
        "hr_resize_y",
        "hr_sampler_name",
        "hr_scale",
        "hr_scheduler",
        "hr_second_pass_steps",
        "hr_upscaler",
        "refiner_switch_at",
        "subseed",
    }
)

IMG2IMG_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "initial_noise_multiplier": (1,),
    "latent_mask": (),
    "resize_mode": (0,),
}

#: What only tells more about checkpoints that this container refuses.
IMG2IMG_MOOT = frozenset({"image_cfg_scale"})

#: Settings of the WebUI that a request may override.
SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "comma_padding_backtrack": (20,),
    "emphasis": ("Original",),
    "enable_pnginfo": (True,),
    "eta_noise_seed_delta": (0,),
    "img2img_fix_steps": (False,),
    "randn_source": ("CPU",),
    "return_grid": (False, True),
    "samples_format": ("png",),
    "token_merging_ratio": (0,),
}


def check(task_type: str, left: Mapping[str, Any]) -> None:
    """Refuse what asks for something that would not happen."""
    is_img2img = task_type == "img2img"
    neutral = {**NEUTRAL, **(IMG2IMG_NEUTRAL if is_img2img else {})}
    moot = MOOT | (IMG2IMG_MOOT if is_img2img else {"denoising_strength"})
    _refuse({name: value for name, value in left.items() if name not in moot}, neutral, "", task_type)


def check_settings(left: Mapping[str, Any]) -> None:
    """Refuse an overridden setting that would not be obeyed."""
    _refuse(left, SETTINGS, "override_settings.", "this container")


def _refuse(left: Mapping[str, Any], neutral: Mapping[str, tuple[Any, ...]], prefix: str, who: str) -> None:
    for name, value in left.items():
        if name not in neutral:
            raise Invalid(f"{prefix}{name} is not a parameter that {who} knows")
        if not any(_same(value, each) for each in neutral[name]):
            raise Invalid(f"{prefix}{name} is not supported{_remedy(neutral[name])}")


def _same(value: Any, neutral: Any) -> bool:
    """Compare as JSON does, where false is not 0."""
    return bool(value == neutral) and isinstance(value, bool) == isinstance(neutral, bool)


def _remedy(values: tuple[Any, ...]) -> str:
    fine = " or ".join(repr(each) for each in values)
    return f": leave it out, or {fine}" if values else ": leave it out"
