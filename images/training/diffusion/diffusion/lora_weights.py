"""A LoRA's file as differences of a checkpoint's weights; one for something else is refused by name."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from diffusion import header
from diffusion.errors import Invalid
from diffusion.lora import TEXT, UNET

DOWN, UP, ALPHA = "lora_down.weight", "lora_up.weight", "alpha"
#: What a key begins with, or holds, that is of another kind of file.
OTHERS: Mapping[str, str] = {
    "lora_te1_": "is for Stable Diffusion XL",
    "lora_te2_": "is for Stable Diffusion XL",
    "lora_te3_": "is for Stable Diffusion 3",
    "lora_transformer_": "is for another kind of network",
    "bundle_emb.": "brings embeddings with it, which is not supported",
    "unet.": "has the key names of diffusers, not those of kohya",
    "text_encoder.": "has the key names of diffusers, not those of kohya",
    "model.diffusion_model.": "is a checkpoint",
}
KINDS: Mapping[str, str] = {
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "oft_": "OFT",
    "dora_scale": "DoRA",
    "lora_mid": "LoCon with a middle",
    "diff": "a full difference",
    "on_input": "IA3",
}


class Weights:
    """A LoRA's file, checked against the layers of a checkpoint."""

    def __init__(self, name: str, path: Path, layers: Mapping[str, nn.Module]) -> None:
        self._who, self._path = f"the LoRA {name}", path
        about = header.read(path, self._who)
        self.metadata = about.metadata
        self._names = sorted({self._layer(key) for key in about.shapes})
        if not self._names:
            raise Invalid(f"{self._who} holds nothing")
        for each in self._names:
            self._check(each, about.shapes, layers)

    def differences(self, text: float, unet: float) -> Iterator[tuple[str, torch.Tensor]]:
        """Return what is added to each layer's weights, one at a time."""
        try:
            with safe_open(self._path, framework="pt", device="cpu") as file:
                keys = {*file.keys()}
                for name in self._names:
                    strength = unet if name.startswith(UNET) else text
                    down, up = (file.get_tensor(f"{name}.{each}").float() for each in (DOWN, UP))
                    rank = down.shape[0]
                    has_alpha = f"{name}.{ALPHA}" in keys
                    alpha = float(file.get_tensor(f"{name}.{ALPHA}")) if has_alpha else rank
                    yield name, up.flatten(1) @ down.flatten(1) * (alpha / rank * strength)
        except SafetensorError as error:
            raise Invalid(f"{self._who} is damaged: {error}") from None

    def _layer(self, key: str) -> str:
        """Return the layer that a key belongs to."""
        for prefix, what in OTHERS.items():
            if key.startswith(prefix):
                raise Invalid(f"{self._who} {what}")
        layer, _, part = key.partition(".")
        for begin, what in KINDS.items():
            if part.startswith(begin):
                raise Invalid(f"{self._who} is of a kind that is not supported: {what}")
        if part not in {DOWN, UP, ALPHA} or not layer.startswith((UNET, TEXT)):
            raise Invalid(f"{self._who} is no LoRA with the key names of kohya: it has {key}")
        return layer

    def _check(
        self, name: str, shapes: Mapping[str, tuple[int, ...]], layers: Mapping[str, nn.Module]
    ) -> None:
        """Compare one layer's tensors with the layer's weight."""
        down, up = shapes.get(f"{name}.{DOWN}"), shapes.get(f"{name}.{UP}")
        if down is None or up is None:
            raise Invalid(f"{self._who} lacks a half of {name}")
        if _size(shapes.get(f"{name}.{ALPHA}", ())) != 1:
            raise Invalid(f"{self._who} is damaged: {name}.{ALPHA} is not one number")
        if name not in layers:
            raise Invalid(f"{self._who} is for another architecture: this checkpoint has no {name}")
        weight: torch.Tensor = layers[name].get_parameter("weight")
        inputs = weight[0].numel()
        made = (up[0], *down[1:]) if up and down else ()
        fits = len(up) > 1 and up[1:] == (down[0], *[1] * (len(up) - 2)) and down[0] > 0
        if not fits or made[0] != weight.shape[0] or _size(down[1:]) != inputs:
            raise Invalid(
                f"{self._who} is for another architecture: {name} is {_times(made)}, "
                f"this checkpoint's {_times(tuple(weight.shape))}"
            )


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for each in shape:
        size *= each
    return size


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "nothing"
