"""What the cloud can do of all that the WebUI's form may ask for; what it cannot, it is not asked.

An endpoint may be waking from no instances at all: to be refused there takes minutes, here it takes none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

Payload = Mapping[str, Any]

FEATURES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "Hires. fix": frozenset({"enable_hr"}),
        "Hires. fix of one image": frozenset({"firstpass_image"}),
        "Refiner": frozenset({"refiner_checkpoint"}),
        "Restore faces": frozenset({"restore_faces"}),
        "Tiling": frozenset({"tiling"}),
        "Variation seed": frozenset({"subseed_strength"}),
        "Resize seed": frozenset({"seed_resize_from_h", "seed_resize_from_w"}),
        "Inpainting": frozenset({"mask"}),
        "Latent mask": frozenset({"latent_mask"}),
        "Resize mode": frozenset({"resize_mode"}),
        "Noise multiplier": frozenset({"initial_noise_multiplier"}),
        "Distilled CFG scale": frozenset({"distilled_cfg_scale"}),
        "Sampler parameters (eta, sigma)": frozenset(
            {"eta", "s_churn", "s_min_uncond", "s_noise", "s_tmax", "s_tmin"}
        ),
    }
)
"""What a form asks for by having one of these parameters, by the form's own names."""

SYNTAX: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "the extra network {} in a prompt": re.compile(r"<(?!lora:)\w+:[^>]+>"),
        "the prompt editing {}": re.compile(r"(?<!\\)\[[^\[\]]*:\s*\d*\.?\d+\s*\]"),
        "the alternation {} in a prompt": re.compile(r"(?<!\\)\[[^\[\]]*\|[^\[\]]*\]"),
        "{} in a prompt": re.compile(r"\bAND\b"),
    }
)
"""What else than words, attention and LoRAs a prompt can hold."""

SPACINGS = frozenset({"Uniform", "Normal", "Simple", "SGM Uniform", "DDIM"})
CURVES = frozenset({"Karras", "Exponential", "Beta"})
ALL = SPACINGS | CURVES


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What an endpoint's image does; None where it is left to the image itself to say so."""

    samplers: Mapping[str, frozenset[str]] | None = None
    """Its samplers, each with the schedules that go with it; Automatic goes with all."""

    settings: frozenset[str] | None = None
    """The settings that it obeys."""

    features: frozenset[str] | None = None
    is_plain: bool = False
    """Whether prompts are words, attention and LoRAs alone."""

    def lacking(self, payload: Payload) -> list[str]:
        """Return by name what is asked for and not done."""
        checks: tuple[Callable[[Payload], Iterator[str]], ...] = (
            self._features,
            self._settings,
            self._sampler,
            self._syntax,
        )
        return [name for check in checks for name in check(payload)]

    def _features(self, payload: Payload) -> Iterator[str]:
        if self.features is not None:
            for name, parameters in FEATURES.items():
                if name not in self.features and parameters & payload.keys():
                    yield name

    def _settings(self, payload: Payload) -> Iterator[str]:
        if self.settings is not None:
            for name in sorted(payload.get("override_settings", {}).keys() - self.settings):
                yield f"the setting {name}"

    def _sampler(self, payload: Payload) -> Iterator[str]:
        name = payload.get("sampler_name")
        if self.samplers is None or name is None:
            return
        schedules = {_plain(each): fine for each, fine in self.samplers.items()}.get(_plain(name))
        label = payload.get("scheduler", "Automatic")
        if schedules is None:
            yield f"the sampling method {name}"
        elif _plain(label) not in {"automatic", *map(_plain, schedules)}:
            yield f"the schedule type {label} with {name}"

    def _syntax(self, payload: Payload) -> Iterator[str]:
        if self.is_plain:
            for prompt in (payload.get("prompt", ""), payload.get("negative_prompt", "")):
                for name, pattern in SYNTAX.items():
                    if found := pattern.search(prompt):
                        yield name.format(found[0][:60])


def _plain(name: str) -> str:
    """Return a sampler's or a schedule's name as it is looked for."""
    return name.lower().replace("_", " ")


OWN_IMAGE = Abilities(
    features=frozenset({"Inpainting"}),
    settings=frozenset({"CLIP_stop_at_last_layers", "sd_model_checkpoint", "sd_vae"}),
    samplers=MappingProxyType(
        {
            **dict.fromkeys(
                ("DPM++ 2M", "DPM++ 2M SDE", "DPM++ 2M SDE Heun", "Euler", "Heun", "LMS", "DPM2", "DPM2 a"),
                ALL,
            ),
            **dict.fromkeys(("DDIM", "PLMS", "UniPC"), frozenset[str]()),
            "DPM++ SDE": CURVES | {"Uniform", "Normal"},
            "Euler a": SPACINGS,
        }
    ),
    is_plain=True,
)
"""What the image does that Atelier's own endpoints run."""

EVERYTHING = Abilities()
"""For an endpoint with an image of one's own, which says itself what it cannot do."""
