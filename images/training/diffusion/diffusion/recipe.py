"""How a LoRA is trained: `config_params` by the names of kohya's sd-scripts, checked.

Whatever is not declared here is refused by name: nothing is accepted that would not happen.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Any

from diffusion import declared
from diffusion.declared import choice, flag, number, setting, text, whole
from diffusion.errors import Invalid

PARAMS = "params.config_params"
LARGEST = 2048
MOST_SAMPLES = 8
LONGEST_PROMPT = 2000


@dataclass(frozen=True, kw_only=True)
class Side:
    """Width and height of what is learned from."""

    width: int
    height: int

    def __str__(self) -> str:
        """Write it as a form does."""
        return str(self.width) if self.width == self.height else f"{self.width},{self.height}"


USUAL = Side(width=512, height=512)


def _resolution(given: object) -> Side:
    parts = [int(each) for each in str(given).split(",")]
    width, height = parts if len(parts) == 2 else parts * 2
    if not all(64 <= each <= LARGEST and each % 8 == 0 for each in (width, height)):
        raise ValueError
    return Side(width=width, height=height)


def _prompts(given: object) -> tuple[str, ...]:
    lines = given.splitlines() if isinstance(given, str) else given
    if not isinstance(lines, list) or not all(isinstance(each, str) for each in lines):
        raise ValueError
    found = tuple(each.strip() for each in lines if each.strip())
    if len(found) > MOST_SAMPLES or any(len(each) > LONGEST_PROMPT for each in found):
        raise ValueError
    return found


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a training may choose."""

    output_name: str = text(
        r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}",
        "1 to 80 of A-Z, a-z, 0-9, _, . and -, the first a letter or a digit",
        MISSING,
        "name of the LoRA; `.safetensors` is added",
    )
    max_train_epochs: int = whole(1, 10_000, 10, "how often every image is seen, `dataset_repeats` aside")
    max_train_steps: int | None = whole(1, 1_000_000, None, "an earlier end, in steps")
    save_every_n_epochs: int | None = whole(1, 10_000, None, "keep the LoRA, and paint samples, so often")
    save_precision: str = choice(("fp16", "bf16", "float"), "fp16", "of the numbers in the file")
    save_model_as: str = choice(("safetensors",), "safetensors", "form of the file")
    resolution: Side = setting(  # noqa: RUF009 -- it declares a field
        _resolution,
        f"a multiple of 8 from 64 to {LARGEST}, or two like 512,768",
        USUAL,
        "side, or width,height, of the images; with buckets their area",
    )
    enable_bucket: bool = flag(True, "keep each image's ratio, in buckets of about the same area")
    min_bucket_reso: int | None = whole(
        64, 4096, None, "shortest side of a bucket; 256, or half of resolution"
    )
    max_bucket_reso: int = whole(64, 4096, 1024, "longest side of a bucket; at least resolution")
    bucket_reso_steps: int = whole(8, 512, 64, "sides of buckets are multiples of it; a multiple of 8")
    bucket_no_upscale: bool = flag(False, "enlarge no image: small ones get buckets of their own")
    train_batch_size: int = whole(1, 64, 1, "images that are looked at together")
    gradient_accumulation_steps: int = whole(1, 128, 1, "batches to a step")
    gradient_checkpointing: bool = flag(False, "less memory for more time")
    learning_rate: float = number(1e-9, 1, 1e-4, "of what has none of its own")
    unet_lr: float | None = number(0, 1, None, "of the image network; learning_rate")
    text_encoder_lr: float | None = number(0, 1, None, "of the text encoder; half of learning_rate")
    network_module: str = choice(("networks.lora",), "networks.lora", "kind of network")
    network_dim: int = whole(1, 128, 16, "rank")
    network_alpha: float | None = number(1e-3, 1024, None, "strength is alpha / dim; network_dim")
    network_dropout: float = number(0, 0.9, 0.0, "share of the LoRA's inner values that are left out")
    network_train_unet_only: bool = flag(True, "false trains the text encoder too")
    optimizer_type: str = choice(("AdamW", "Adam", "SGD"), "AdamW", "what takes the steps")
    weight_decay: float = number(0, 1, 0.01, "of the optimizer")
    lr_scheduler: str = choice(
        ("constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts"),
        "constant",
        "how the learning rate goes",
    )
    lr_warmup_steps: int = whole(0, 100_000, 0, "steps in which it rises first; not with constant")
    lr_scheduler_num_cycles: int = whole(1, 100, 1, "cycles of cosine_with_restarts")
    max_grad_norm: float = number(0, 1000, 1.0, "to which gradients are clipped; 0 clips none")
    min_snr_gamma: float = number(0, 100, 0.0, "weighs noisy steps less; 5 is usual, 0 is off")
    noise_offset: float = number(0, 1, 0.0, "noise that shifts whole images; 0.05 is usual")
    caption_extension: str = choice((".txt", ".caption"), ".txt", "of the captions beside the images")
    shuffle_caption: bool = flag(False, "shuffle what commas separate, anew for each look")
    keep_tokens: int = whole(0, 255, 0, "how many of them stay in front")
    caption_dropout_rate: float = number(0, 1, 0.0, "share of looks without a caption")
    flip_aug: bool = flag(False, "learn from mirrored images as well")
    dataset_repeats: int = whole(1, 1000, 1, "looks at an image in an epoch; a folder `10_name` says its own")
    clip_skip: int = whole(1, 12, 1, "layers of the text encoder that are skipped, plus one")
    max_token_length: int = whole(75, 225, 75, "tokens of a caption: 75, 150 or 225")
    mixed_precision: str = choice(("auto", "no", "fp16", "bf16"), "auto", "auto: fp16 on a GPU, no on a CPU")
    seed: int = whole(0, 2**32 - 1, 42, "of everything that is random")
    sample_prompts: tuple[str, ...] = setting(
        _prompts,
        f"at most {MOST_SAMPLES} prompts, one a line, of {LONGEST_PROMPT} characters each",
        (),
        "what is painted at each save; the first caption",
    )
    sample_steps: int = whole(1, 150, 20, "of a sample")
    sample_sampler: str = text(r".{1,100}", "a sampler that `serve` knows", "Euler", "of a sample")
    training_comment: str = text(
        r"(?s).{0,1000}", "a text of at most 1000 characters", "", "kept in the file"
    )

    @property
    def alpha(self) -> float:
        """Return alpha; as much as the rank if it was not given."""
        return float(self.network_dim if self.network_alpha is None else self.network_alpha)

    @property
    def rates(self) -> tuple[float, float]:
        """Return the learning rates of the image network and of the text encoder; 0 trains it not."""
        unet = self.learning_rate if self.unet_lr is None else self.unet_lr
        text = self.learning_rate / 2 if self.text_encoder_lr is None else self.text_encoder_lr
        return unet, 0.0 if self.network_train_unet_only else text

    @property
    def shortest(self) -> int:
        """Return the shortest side of a bucket."""
        least = min(self.resolution.width, self.resolution.height)
        return self.min_bucket_reso or min(256, max(64, least // 2))


def parse(config: Mapping[str, Any]) -> Recipe:
    """Read the request of a training; refuse what this container does not do."""
    kind = config.get("lora_train_type", "kohya")
    if kind != "kohya":
        raise Invalid(f"lora_train_type must be kohya, not {kind!r}")
    params = config.get("params")
    if not isinstance(params, dict):
        raise Invalid("params must be a JSON object")
    if params.get("enable_wd14_tagger"):
        raise Invalid("params.enable_wd14_tagger is not supported: give each image a caption of its own")
    training = params.get("training_params") or {}
    model = training.get("fm_type", "sd_1_5") if isinstance(training, dict) else None
    if model != "sd_1_5":
        raise Invalid(f"params.training_params.fm_type must be sd_1_5, not {model!r}")
    recipe = declared.parse(Recipe, params.get("config_params"), PARAMS)
    _check(recipe)
    return recipe


def _check(recipe: Recipe) -> None:
    """Refuse what does not go together."""
    if recipe.bucket_reso_steps % 8:
        raise Invalid(f"{PARAMS}.bucket_reso_steps must be a multiple of 8")
    if recipe.max_token_length % 75:
        raise Invalid(f"{PARAMS}.max_token_length must be 75, 150 or 225")
    sides = (recipe.resolution.width, recipe.resolution.height)
    if recipe.enable_bucket and not recipe.shortest <= min(sides) <= max(sides) <= recipe.max_bucket_reso:
        raise Invalid(
            f"{PARAMS}.resolution {recipe.resolution} must lie between min_bucket_reso {recipe.shortest} "
            f"and max_bucket_reso {recipe.max_bucket_reso}"
        )
    if not any(recipe.rates):
        raise Invalid(f"{PARAMS}.unet_lr and text_encoder_lr leave nothing to train")
    if recipe.lr_warmup_steps and recipe.lr_scheduler == "constant":
        raise Invalid(f"{PARAMS}.lr_warmup_steps goes with another lr_scheduler, like constant_with_warmup")
