"""The WebUI's form as the parameters of its own API: everything that it says goes along.

What is left as it is by itself is left out, so that a form asks for nothing that nobody asked for.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from atelier_webui import pictures, scripts
from atelier_webui.abilities import OWN_IMAGE, Abilities
from atelier_webui.errors import Problem, Unsupported
from atelier_webui.forms import Form, Task

DRAWN_SEEDS = 2**32 - 1
"""The WebUI draws its own from as many."""

WHOLE = ("steps", "width", "height", "batch_size", "n_iter")

QUIET: Mapping[str, tuple[Any, ...]] = {
    "restore_faces": (None, False),
    "tiling": (None, False),
    "eta": (None,),
    "s_churn": (None, 0),
    "s_min_uncond": (None, 0),
    "s_noise": (None, 1),
    "s_tmax": (None, 0, math.inf),
    "s_tmin": (None, 0),
    "subseed_strength": (None, 0),
    "seed_resize_from_h": (None, 0, -1),
    "seed_resize_from_w": (None, 0, -1),
    "refiner_checkpoint": (None, "", "None"),
    "disable_extra_networks": (None, False),
    "firstpass_image": (None,),
    "initial_noise_multiplier": (None, 1),
    "distilled_cfg_scale": (None, 3.5),
}
"""What of the form is left out when it has one of these values."""

HIRES = (
    *("denoising_strength", "firstphase_width", "firstphase_height", "hr_scale", "hr_upscaler"),
    *("hr_second_pass_steps", "hr_resize_x", "hr_resize_y", "hr_checkpoint_name", "hr_sampler_name"),
    *("hr_scheduler", "hr_prompt", "hr_negative_prompt"),
)
MASK = (
    *("mask_blur_x", "mask_blur_y", "mask_round", "inpainting_fill", "inpaint_full_res"),
    *("inpaint_full_res_padding", "inpainting_mask_invert"),
)

SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "CLIP_stop_at_last_layers": (1,),
    "comma_padding_backtrack": (20,),
    "emphasis": ("Original",),
    "eta_ancestral": (1,),
    "eta_ddim": (0,),
    "eta_noise_seed_delta": (0,),
    "face_restoration": (False,),
    "s_churn": (0,),
    "s_min_uncond": (0,),
    "s_noise": (1,),
    "s_tmax": (0,),
    "s_tmin": (0,),
    "sd_noise_schedule": ("Default",),
    "sd_vae": ("Automatic", "None", ""),
    "skip_early_cond": (0,),
    "tiling": (False,),
    "token_merging_ratio": (0,),
}
IMG2IMG_SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "img2img_color_correction": (False,),
    "img2img_extra_noise": (0,),
    "img2img_fix_steps": (False,),
    "initial_noise_multiplier": (1,),
    "token_merging_ratio_img2img": (0,),
}
"""The WebUI's settings that change an image, with the values that do not: any other goes along."""

HERE = frozenset({"sd_model_checkpoint", "sd_checkpoint_hash", "forge_additional_modules", "randn_source"})
"""What a pasted infotext or a batch overrides and the cloud chooses by itself: its checkpoint, its device."""

SAVING = ("save", "samples", "grid", "return_grid", "outdir", "do_not", "enable_pnginfo", "jpeg", "webp")
"""How the settings begin that say how images are kept: that happens here."""


def read(
    processing: Any,
    args: Sequence[Any] = (),
    *,
    own: Sequence[str] = ("Atelier",),
    options: Mapping[str, Any] | None = None,
    abilities: Abilities = OWN_IMAGE,
    draw: Callable[[], int] = lambda: random.randrange(DRAWN_SEEDS),
) -> Form:
    """Return the form behind a StableDiffusionProcessing and its scripts' *args*.

    *own* are the titles of the scripts that are not to be refused, *options* the WebUI's settings. Styles and
    comments are to be worked into the prompts before. Raise Unsupported with the name of each thing that the
    cloud cannot do. The seeds are drawn here when they are not given, so that they are known.
    """
    p = processing
    task: Task = "img2img" if hasattr(p, "init_images") else "txt2img"
    payload = {**_asked(p), **_seeds(p, draw), **_extras(p)}
    payload |= _hires(p) if task == "txt2img" else _started_from(p)
    if overridden := _settings(p, task, options or {}):
        payload["override_settings"] = overridden
    lacking = [*_scripts(p, args, own), *abilities.lacking(payload)]
    if lacking:
        raise Unsupported(list(dict.fromkeys(lacking)))
    return Form(task=task, payload=payload)


def _scripts(p: Any, args: Sequence[Any], own: Sequence[str]) -> list[str]:
    runner = getattr(p, "scripts", None)
    found = [scripts.selected(runner, args), *scripts.active(runner, args)]
    return [f"the script {each}" for each in found if each is not None and each not in own]


def _asked(p: Any) -> dict[str, Any]:
    """Return what every form says."""
    asked: dict[str, Any] = {
        "prompt": text(p.prompt),
        "negative_prompt": text(p.negative_prompt),
        "cfg_scale": p.cfg_scale,
        **{name: int(getattr(p, name)) for name in WHOLE},
    }
    if getattr(p, "styles", None):
        raise Unsupported([f"the style {each}" for each in p.styles])
    named = {name: getattr(p, name, None) for name in ("sampler_name", "scheduler")}
    return {**asked, **{name: value for name, value in named.items() if value}}


def text(value: Any) -> str:
    """Return a prompt as text that can be sent: half a character becomes a question mark."""
    if not isinstance(value, str):
        raise Unsupported(["more than one prompt at once"])
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _seeds(p: Any, draw: Callable[[], int]) -> dict[str, int]:
    seeds = {"seed": _seed(p.seed, draw)}
    if getattr(p, "subseed_strength", 0):
        seeds["subseed"] = _seed(p.subseed, draw)
    return seeds


def _seed(value: Any, draw: Callable[[], int]) -> int:
    try:
        seed = -1 if value in {None, ""} else int(value)
    except (TypeError, ValueError):
        raise Problem(f"The seed must be a whole number, not {str(value)[:40]!r}.") from None
    return draw() if seed == -1 else seed


def _extras(p: Any) -> dict[str, Any]:
    """Return what only some forms say."""
    given = {name: getattr(p, name, None) for name in QUIET}
    loud: dict[str, Any] = {name: value for name, value in given.items() if not _is_in(value, QUIET[name])}
    if "refiner_checkpoint" in loud:
        loud["refiner_switch_at"] = p.refiner_switch_at
    if "firstpass_image" in loud:
        loud["firstpass_image"] = pictures.encode(loud["firstpass_image"])
    return loud


def _hires(p: Any) -> dict[str, Any]:
    if not getattr(p, "enable_hr", False):
        return {}
    given = {name: getattr(p, name, None) for name in HIRES}
    return {"enable_hr": True, **{name: value for name, value in given.items() if value not in (None, "")}}


def _started_from(p: Any) -> dict[str, Any]:
    """Return the image to start from, with its mask: as large as they are painted.

    Where only what is masked is painted, both stay as they are: the result is put back into the whole.
    """
    started = list({id(each): each for each in p.init_images or () if each is not None}.values())
    if not started:
        raise Problem("There is no image to start from: choose one first.")
    if len(started) > 1:
        raise Unsupported(["several images to start from"])
    asked: dict[str, Any] = {"denoising_strength": p.denoising_strength}
    mode, mask = int(getattr(p, "resize_mode", 0) or 0), getattr(p, "image_mask", None)
    image = _plain(started[0])
    if mode not in pictures.WAYS:
        asked["resize_mode"] = mode
    elif mask is None or not p.inpaint_full_res:
        wide, high = int(p.width), int(p.height)
        mask = mask if mask is None else pictures.fit(_plain_mask(mask, image), wide, high, mode)
        image = pictures.fit(image, wide, high, mode)
    asked["init_images"] = [pictures.encode(image)]
    if (scale := getattr(p, "image_cfg_scale", None)) is not None:
        asked["image_cfg_scale"] = scale
    return {**asked, **_mask(p, mask)}


def _plain(image: Any) -> Any:
    """Return an image whose pixels can be reckoned with."""
    if image.mode in {"RGB", "RGBA"}:
        return image
    return image.convert("RGBA" if "A" in image.mode or "transparency" in image.info else "RGB")


def _plain_mask(mask: Any, image: Any) -> Any:
    """Return a mask that can be resized, of the size of its image."""
    plain = mask if mask.mode in {"L", "RGBA"} else mask.convert("RGBA" if "A" in mask.mode else "L")
    return pictures.fit(plain, image.width, image.height, pictures.STRETCH)


def _mask(p: Any, mask: Any) -> dict[str, Any]:
    """Return the mask and how it is meant: the page says yes and no by number, and the API by word."""
    if mask is None and getattr(p, "latent_mask", None) is None:
        return {}
    kinds = {name: bool if name in {"mask_round", "inpaint_full_res"} else int for name in MASK}
    given = {name: getattr(p, name, None) for name in MASK}
    found: dict[str, Any] = {name: kinds[name](value) for name, value in given.items() if value is not None}
    latent = getattr(p, "latent_mask", None)
    for name, image in (("mask", mask), ("latent_mask", latent)):
        if image is not None:
            found[name] = pictures.encode(image)
    return found


def _settings(p: Any, task: Task, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that change the image: this WebUI's, and those that this form overrides."""
    known = {**SETTINGS, **(IMG2IMG_SETTINGS if task == "img2img" else {})}
    own = {name: options[name] for name in known if name in options}
    given = {**own, **(getattr(p, "override_settings", None) or {})}
    return {name: value for name, value in given.items() if _is_told(name, value, known)}


def _is_told(name: str, value: Any, known: Mapping[str, tuple[Any, ...]]) -> bool:
    return (
        name not in HERE and not name.startswith(SAVING) and not _is_in(value, (None, *known.get(name, ())))
    )


def _is_in(value: Any, values: Sequence[Any]) -> bool:
    """Compare as the WebUI's forms do: a text is no number, an image is nothing but itself."""
    if not isinstance(value, (str, int, float, type(None))):
        return False
    return any(value == each and isinstance(value, str) == isinstance(each, str) for each in values)
