"""How an image was made, in the WebUI's two forms: text inside the PNG, and the `info` of an answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusion import masks
from diffusion.params import Wish


@dataclass(frozen=True, kw_only=True)
class Maker:
    """What made the images: the checkpoint's name and digest, and this program."""

    model: str
    sha256: str
    version: str
    vae: tuple[str, str] | None = None
    loras: tuple[tuple[str, str], ...] = ()
    embeddings: tuple[tuple[str, str], ...] = ()

    @property
    def hash(self) -> str:
        """Return as much of the digest as the WebUI shows."""
        return self.sha256[:10]

    @property
    def extras(self) -> dict[str, str]:
        """Return what is told of LoRAs and embeddings, if there are any."""
        listed = {"Lora hashes": self.loras, "TI hashes": self.embeddings}
        return {
            fact: ", ".join(f"{name}: {shown}" for name, shown in pairs)
            for fact, pairs in listed.items()
            if pairs
        }


def text(wish: Wish, seed: int, maker: Maker) -> str:
    """Write the infotext of one image; the WebUI reads it back into its form."""
    negative = f"\nNegative prompt: {wish.negative_prompt}" if wish.negative_prompt else ""
    told = {name: value for name, value in _facts(wish, seed, maker).items() if value is not None}
    return f"{wish.prompt}{negative}\n" + ", ".join(f"{name}: {_quoted(told[name])}" for name in told)


def _facts(wish: Wish, seed: int, maker: Maker) -> Mapping[str, Any]:
    """List what the infotext tells, in the WebUI's order."""
    return {
        "Steps": wish.steps,
        "Sampler": wish.choice.sampler,
        "Schedule type": wish.choice.schedule,
        "CFG scale": wish.cfg_scale,
        "Seed": seed,
        "Size": f"{wish.width}x{wish.height}",
        "Model hash": maker.hash,
        "Model": maker.model,
        "VAE hash": maker.vae and maker.vae[1],
        "VAE": maker.vae and maker.vae[0],
        "Denoising strength": wish.denoising_strength,
        **masks.facts(wish.masking),
        "Clip skip": wish.clip_skip if wish.clip_skip > 1 else None,
        "RNG": "CPU",
        **maker.extras,
        "Version": maker.version,
    }


def _quoted(value: object) -> str:
    """Quote what would otherwise be read as the next fact."""
    plain = str(value)
    return json.dumps(plain, ensure_ascii=False) if any(each in plain for each in ",:\n") else plain


def info(wish: Wish, maker: Maker, timestamp: str) -> str:
    """Write the `info` of an answer, which is JSON in a text."""
    seeds, count = wish.seeds, len(wish.seeds)
    return json.dumps(
        {
            "prompt": wish.prompt,
            "all_prompts": [wish.prompt] * count,
            "negative_prompt": wish.negative_prompt,
            "all_negative_prompts": [wish.negative_prompt] * count,
            "seed": wish.seed,
            "all_seeds": seeds,
            "subseed": wish.seed,
            "all_subseeds": seeds,
            "subseed_strength": 0,
            "width": wish.width,
            "height": wish.height,
            "sampler_name": wish.choice.sampler,
            "cfg_scale": wish.cfg_scale,
            "steps": wish.steps,
            "batch_size": wish.batch_size,
            "restore_faces": False,
            "face_restoration_model": None,
            "sd_model_name": maker.model,
            "sd_model_hash": maker.hash,
            "sd_vae_name": maker.vae and maker.vae[0],
            "sd_vae_hash": maker.vae and maker.vae[1],
            "seed_resize_from_w": -1,
            "seed_resize_from_h": -1,
            "denoising_strength": wish.denoising_strength,
            "extra_generation_params": {"Schedule type": wish.choice.schedule, **maker.extras},
            "index_of_first_image": 0,
            "infotexts": [text(wish, each, maker) for each in seeds],
            "styles": [],
            "job_timestamp": timestamp,
            "clip_skip": wish.clip_skip,
            "is_using_inpainting_conditioning": False,
            "version": maker.version,
        },
        ensure_ascii=False,
    )
