"""Checkpoints as networks, a bounded number of them at a time."""

import json
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError, safe_open
from transformers.models.clip.configuration_clip import CLIPTextConfig
from transformers.models.clip.modeling_clip import CLIPTextModel

from diffusion import configs, header, layout, vocabulary
from diffusion.cache import Checkpoint
from diffusion.errors import Invalid
from diffusion.layout import TEXT, UNET, VAE, Architecture
from diffusion.tokenizer import Words


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where to compute, and in what precision: half of a network's numbers fit a GPU, none a CPU."""

    device: torch.device
    dtype: torch.dtype

    @classmethod
    def here(cls) -> "Place":
        """Take the GPU if there is one."""
        if torch.cuda.is_available():
            return cls(device=torch.device("cuda"), dtype=torch.float16)
        return cls(device=torch.device("cpu"), dtype=torch.float32)


@dataclass(frozen=True, kw_only=True)
class Model:
    """The networks of one checkpoint."""

    place: Place
    words: Words
    text: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderKL


class Models:
    """The last few checkpoints that were used, loaded."""

    def __init__(self, most: int, place: Place) -> None:
        quiet()
        self._most, self._place = most, place
        self._loaded: OrderedDict[str, Model] = OrderedDict()
        self._vaes: OrderedDict[str, AutoencoderKL] = OrderedDict()

    def get(self, checkpoint: Checkpoint) -> Model:
        """Return a checkpoint's networks; the one that was not used for longest makes room for a new one."""
        found = self._loaded.pop(checkpoint.sha256, None)
        if found is None:
            while len(self._loaded) >= self._most:
                self._loaded.popitem(last=False)
            if self._place.device.type == "cuda":
                torch.cuda.empty_cache()
            found = load(checkpoint.path, self._place)
        self._loaded[checkpoint.sha256] = found
        return found

    def vae(self, file: Checkpoint) -> AutoencoderKL:
        """Return a VAE that comes alone."""
        found = self._vaes.pop(file.sha256, None)
        if found is None:
            while len(self._vaes) >= self._most:
                self._vaes.popitem(last=False)
            found = load_vae(file, self._place)
        self._vaes[file.sha256] = found
        return found

    def clear(self) -> None:
        """Forget everything: the memory is needed."""
        self._loaded.clear()
        self._vaes.clear()
        if self._place.device.type == "cuda":
            torch.cuda.empty_cache()


def quiet() -> None:
    """Let diffusers say nothing but errors."""
    diffusers_logging.set_verbosity_error()


def load(path: Path, place: Place) -> Model:
    """Load a checkpoint; what it lacks is said before anything large is read."""
    about = header.read(path)
    sizes = layout.read(about.shapes)
    words = Words(vocabulary.of_checkpoint(about.metadata, sizes.words))
    try:
        return _loaded(path, sizes, words, place)
    except SafetensorError as error:
        raise Invalid(f"the checkpoint is damaged: {error}") from None


def _loaded(path: Path, sizes: Architecture, words: Words, place: Place) -> Model:
    """Load one network after the other, so that at most one is in memory twice."""
    unet = _network(UNet2DConditionModel, _tensors(path, UNET, sizes), configs.unet(sizes), place.dtype)
    # in half precision, some of them paint black
    vae = _network(AutoencoderKL, _tensors(path, VAE, sizes), configs.vae(sizes), torch.float32)
    text = CLIPTextModel(CLIPTextConfig(**configs.text(sizes)))
    named = _tensors(path, TEXT, sizes)
    text.load_state_dict({name.removeprefix(TEXT): each for name, each in named.items()})
    return Model(
        place=place,
        words=words,
        text=text.eval().to(place.device, place.dtype),
        unet=unet.eval().to(place.device),
        vae=vae.eval().to(place.device),
    )


def load_vae(file: Checkpoint, place: Place) -> AutoencoderKL:
    """Load a VAE that comes alone; its tensors are named as in a checkpoint, or without their prefix."""
    who = f"the VAE {file.name}"
    shapes = header.read(file.path, who).shapes
    stored = {name if name.startswith(VAE) else f"{VAE}{name}": name for name in shapes}
    sizes = layout.read_vae({name: shapes[stored[name]] for name in stored}, who)
    wanted = [name for name, _ in layout.names(sizes) if name.startswith(VAE)]
    try:
        with safe_open(file.path, framework="pt", device="cpu") as opened:
            tensors = {name: opened.get_tensor(stored[name]) for name in wanted}
    except SafetensorError as error:
        raise Invalid(f"{who} is damaged: {error}") from None
    vae: AutoencoderKL = _network(AutoencoderKL, tensors, configs.vae(sizes), torch.float32)
    return vae.eval().to(place.device)


def _tensors(path: Path, prefix: str, sizes: Architecture) -> dict[str, torch.Tensor]:
    """Read the tensors of one network, and none of what else a checkpoint may hold."""
    with safe_open(path, framework="pt", device="cpu") as file:
        return {name: file.get_tensor(name) for name, _ in layout.names(sizes) if name.startswith(prefix)}


def _network(
    kind: Any, tensors: dict[str, torch.Tensor], config: Mapping[str, Any], dtype: torch.dtype
) -> Any:
    """Let diffusers turn the community's names into its own; it reads a configuration only from a folder."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(config), encoding="utf-8")
        return kind.from_single_file(tensors, config=folder, local_files_only=True, dtype=dtype)
