"""LoRAs in a model's weights: put in for as long as the same ones are asked for, and taken out exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from diffusion import lora, lora_file
from diffusion.cache import Checkpoint
from diffusion.extras import LoraUse
from diffusion.lora_weights import Weights
from diffusion.models import Model


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A LoRA on disk, and how strong it is to be."""

    file: Checkpoint
    use: LoraUse


class Blend:
    """The one model that has LoRAs in its weights now; the weights it had are kept to be put back."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._key: list[tuple[str, float, float]] = []
        self._kept: dict[str, torch.Tensor] = {}
        self._layers: dict[str, nn.Module] = {}
        self.hashes: list[tuple[str, str]] = []

    @torch.no_grad()
    def become(self, model: Model, wanted: Sequence[Wanted]) -> list[tuple[str, str]]:
        """Put these LoRAs, and no others, into the model; return each name with the hash that is shown."""
        key = [(each.file.sha256, each.use.text, each.use.unet) for each in wanted]
        if self._model is not model or self._key != key:
            self.clear()
            self._put(model, wanted)
            self._key = key
        names = [each.use.name for each in wanted]
        return list(zip(names, (shown for _, shown in self.hashes), strict=True))

    @torch.no_grad()
    def clear(self) -> None:
        """Put back what the weights were."""
        for name, weight in self._kept.items():
            self._layers[name].get_parameter("weight").copy_(weight)
        self._model, self._key, self._kept, self._layers, self.hashes = None, [], {}, {}, []

    def _put(self, model: Model, wanted: Sequence[Wanted]) -> None:
        if not wanted:
            return
        self._model, self._layers = model, lora.layers(model)
        try:
            for each in wanted:
                weights = Weights(each.use.name, each.file.path, self._layers)
                for name, difference in weights.differences(each.use.text, each.use.unet):
                    self._add(name, difference)
                shown = lora_file.shown_hash(each.file.path, weights.metadata)
                self.hashes.append((each.use.name, shown))
        except BaseException:  # half a LoRA is worse than none, whatever happened
            self.clear()
            raise

    def _add(self, name: str, difference: torch.Tensor) -> None:
        weight = self._layers[name].get_parameter("weight")
        if name not in self._kept:
            self._kept[name] = weight.detach().cpu().clone()
        added = difference.reshape(weight.shape).to(weight.device)
        weight.copy_((weight.float() + added).to(weight.dtype))
