"""Infotexts: how an image was asked for, as the WebUI reads it back into its form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from atelier_webui.forms import Form

NAMES: Mapping[str, str] = {
    "steps": "Steps",
    "sampler_name": "Sampler",
    "scheduler": "Schedule type",
    "cfg_scale": "CFG scale",
    "seed": "Seed",
    "denoising_strength": "Denoising strength",
    "subseed": "Variation seed",
    "subseed_strength": "Variation seed strength",
    "hr_scale": "Hires upscale",
    "hr_upscaler": "Hires upscaler",
    "hr_second_pass_steps": "Hires steps",
    "refiner_checkpoint": "Refiner",
    "refiner_switch_at": "Refiner switch at",
}


def write(form: Form, checkpoint: str = "") -> str:
    """Return the infotext of what a form asks for."""
    payload = form.payload
    facts = {title: payload[name] for name, title in NAMES.items() if name in payload}
    facts["Size"] = f"{payload['width']}x{payload['height']}"
    if skip := payload.get("override_settings", {}).get("CLIP_stop_at_last_layers"):
        facts["Clip skip"] = skip
    if checkpoint:
        facts["Model"] = checkpoint.removesuffix(".safetensors")
    negative = f"\nNegative prompt: {payload['negative_prompt']}" if payload.get("negative_prompt") else ""
    told = ", ".join(f"{name}: {_quoted(value)}" for name, value in facts.items())
    return f"{payload.get('prompt', '')}{negative}\n{told}"


def _quoted(value: Any) -> str:
    """Quote what would otherwise be read as the next fact."""
    plain = str(value)
    return json.dumps(plain, ensure_ascii=False) if any(each in plain for each in ",:\n") else plain
