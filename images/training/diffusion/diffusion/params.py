"""What to paint: the WebUI's sdapi form, checked."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diffusion import extras, masks, neutral, prompts, samplers
from diffusion.errors import Invalid
from diffusion.extras import LoraUse
from diffusion.forms import Form
from diffusion.masks import Masking
from diffusion.samplers import Choice

MAX_SEED = 2**53 - 1
MAX_IMAGES = 32
MAX_CLIP_SKIP = 12
LONGEST_PROMPT = 8000
#: The WebUI draws its seeds from as many.
DRAWN_SEEDS = 2**32 - 1
#: What the WebUI says when a checkpoint's own VAE is meant.
NO_VAE = frozenset({"", "Automatic", "None"})


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One request's images; each depends on its own seed alone."""

    prompt: str = ""
    words: str = ""
    loras: tuple[LoraUse, ...] = ()
    negative_prompt: str = ""
    seed: int = 0
    steps: int = 50
    choice: Choice
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    batch_size: int = 1
    n_iter: int = 1
    clip_skip: int = 1
    checkpoint: str | None = None
    vae: str | None = None
    denoising_strength: float | None = None
    picture: str | None = None
    masking: Masking | None = None

    @property
    def seeds(self) -> list[int]:
        """Return the seed of each image."""
        return [self.seed + number for number in range(self.batch_size * self.n_iter)]


def parse(
    task_type: str, given: object, draw: Callable[[], int] = lambda: secrets.randbelow(DRAWN_SEEDS)
) -> Wish:
    """Read the sdapi form of *task_type*; the first thing wrong with it is said by name."""
    form = Form(given, "params")
    values = _settings(form) | _prompts(form) | _numbers(form) | _count(form)
    values |= {"choice": _choice(form), "seed": _seed(form, draw)}
    if task_type == "img2img":
        values |= _picture(form)
    neutral.check(task_type, form.left())
    return Wish(**values)


def _settings(form: Form) -> dict[str, Any]:
    """Read the three settings that a request may override, and clip_skip as our own clients spell it."""
    given = form.take("override_settings")
    settings = Form({} if given is None else given, "params.override_settings")
    named = settings.text("sd_model_checkpoint", longest=300, default="")
    stop = settings.whole("CLIP_stop_at_last_layers", 1, MAX_CLIP_SKIP, 1)
    skip = form.whole("clip_skip", 1, MAX_CLIP_SKIP, stop)
    if stop not in {1, skip}:
        raise Invalid("params.clip_skip and override_settings.CLIP_stop_at_last_layers are not the same")
    vae = settings.text("sd_vae", longest=300, default="")
    neutral.check_settings(settings.left())
    chosen = None if vae in NO_VAE else vae
    return {"checkpoint": named or None, "clip_skip": skip, "vae": chosen}


def _prompts(form: Form) -> dict[str, Any]:
    texts = {
        name: form.text(name, longest=LONGEST_PROMPT, default="") for name in ("prompt", "negative_prompt")
    }
    words, loras = extras.take(texts["prompt"])
    prompts.check("prompt", words)
    prompts.check("negative_prompt", texts["negative_prompt"])
    return {**texts, "words": words, "loras": loras}


def _numbers(form: Form) -> dict[str, Any]:
    return {
        "steps": form.whole("steps", 1, 150, 50),
        "cfg_scale": form.number("cfg_scale", 1, 30, 7.0),
        "width": _side(form, "width"),
        "height": _side(form, "height"),
    }


def _side(form: Form, name: str) -> int:
    value = form.whole(name, 64, 2048, 512)
    if value % 8:
        raise form.wrong(name, "a multiple of 8")
    return value


def _count(form: Form) -> dict[str, Any]:
    count = {
        "batch_size": form.whole("batch_size", 1, 8, 1),
        "n_iter": form.whole("n_iter", 1, MAX_IMAGES, 1),
    }
    if count["batch_size"] * count["n_iter"] > MAX_IMAGES:
        raise Invalid(f"params.batch_size times n_iter must be at most {MAX_IMAGES}")
    return count


def _choice(form: Form) -> Choice:
    """Read the sampler; `sampler_index` is its older name, which newer WebUIs still send along."""
    older = form.text("sampler_index", longest=100, default="Euler")
    name = form.text("sampler_name", longest=100, default="") or older
    return samplers.choose(name, form.text("scheduler", longest=100, default="") or samplers.AUTOMATIC)


def _seed(form: Form, draw: Callable[[], int]) -> int:
    seed = form.whole("seed", -1, MAX_SEED - MAX_IMAGES, -1)
    return draw() if seed == -1 else seed


def _picture(form: Form) -> dict[str, Any]:
    """Read what img2img starts from."""
    pictures = form.take("init_images")
    if not isinstance(pictures, list) or len(pictures) != 1 or not isinstance(pictures[0], str):
        raise form.wrong("init_images", "a list with one image in base64")
    form.flag("include_init_images", False)
    strength = form.number("denoising_strength", 0, 1, 0.75)
    return {"denoising_strength": strength, "picture": pictures[0], "masking": masks.parse(form)}
