"""Words that were learned elsewhere: a few vectors in a file, found in a prompt by the file's name."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from diffusion import header
from diffusion.errors import Invalid
from diffusion.prompts import CHUNK


def read(name: str, path: Path, width: int) -> torch.Tensor:
    """Read the vectors of an embedding; one for a text encoder of another width is refused."""
    who = f"the embedding {name}"
    shapes = header.read(path, who).shapes
    if {"clip_g", "clip_l"} & shapes.keys():
        raise Invalid(f"{who} is for Stable Diffusion XL")
    fitting = [key for key, shape in shapes.items() if 1 <= len(shape) <= 2]
    if len(shapes) != 1 or not fitting:
        raise Invalid(
            f"{who} must hold one table of vectors, not {', '.join(sorted(shapes)[:3]) or 'nothing'}"
        )
    if shapes[fitting[0]][-1] != width:
        raise Invalid(f"{who} is for a text encoder of {shapes[fitting[0]][-1]} numbers, not {width}")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            vectors: torch.Tensor = file.get_tensor(fitting[0]).float().reshape(-1, width)
    except SafetensorError as error:
        raise Invalid(f"{who} is damaged: {error}") from None
    if not 1 <= len(vectors) <= CHUNK:
        raise Invalid(f"{who} must have 1 to {CHUNK} vectors, not {len(vectors)}")
    return vectors
