"""Low-rank adapters beside the layers that attention is made of, named as kohya's sd-scripts name them.

    lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight   rank x inputs
                                                .lora_up.weight     outputs x rank
                                                .alpha              strength is alpha / rank
    lora_te_text_model_encoder_layers_0_mlp_fc1...

The image network's layers have diffusers' names in them, the text encoder's have transformers'.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from diffusion.models import Model

UNET, TEXT = "lora_unet_", "lora_te_"
#: Classes whose linear layers, and 1x1 convolutions, kohya's `networks.lora` trains.
UNET_PARENTS = frozenset({"Transformer2DModel"})
TEXT_PARENTS = frozenset({"CLIPAttention", "CLIPMLP"})


def layers(model: Model) -> dict[str, nn.Module]:
    """Return all linear layers and convolutions of a model by the name that a LoRA's file gives them."""
    return {
        **{f"{UNET}{_flat(name)}": each for name, each in _weighing(model.unet)},
        **{f"{TEXT}text_model_{_flat(name)}": each for name, each in _weighing(model.text)},
    }


def trained(model: Model, *, unet: bool, text: bool) -> dict[str, nn.Module]:
    """Return the layers that a training gives an adapter."""
    found: dict[str, nn.Module] = {}
    for network, parents, wanted in ((model.unet, UNET_PARENTS, unet), (model.text, TEXT_PARENTS, text)):
        inside = {id(each) for parent in network.modules() if type(parent).__name__ in parents
                  for each in parent.modules()}  # fmt: skip
        if wanted:
            found |= {name: each for name, each in layers(model).items() if id(each) in inside}
    return found


def _weighing(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, each) for name, each in network.named_modules() if isinstance(each, nn.Linear | nn.Conv2d))


def _flat(name: str) -> str:
    return name.replace(".", "_")


class Adapter(nn.Module):
    """A layer's difference, as the product of two small ones; it is nothing at first."""

    def __init__(self, layer: nn.Module, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.lora_down, self.lora_up = _pair(layer, rank)
        nn.init.kaiming_uniform_(self.lora_down.weight, a=5**0.5)
        nn.init.zeros_(self.lora_up.weight)
        self.register_buffer("alpha", torch.tensor(alpha))
        self._scale, self._dropout = alpha / rank, dropout

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what is added to the layer's output."""
        inner = self.lora_down(inputs.to(self.lora_down.weight.dtype))
        if self._dropout and self.training:
            inner = nn.functional.dropout(inner, self._dropout)
        added: torch.Tensor = self.lora_up(inner) * self._scale
        return added

    def beside(self, layer: nn.Module) -> None:
        """Add the difference to whatever the layer answers from now on."""
        layer.register_forward_hook(
            lambda _, inputs, output: output + self.forward(inputs[0]).to(output.dtype)
        )


def _pair(layer: nn.Module, rank: int) -> tuple[nn.Module, nn.Module]:
    if isinstance(layer, nn.Conv2d):
        return (
            nn.Conv2d(layer.in_channels, rank, layer.kernel_size, layer.stride, layer.padding, bias=False),
            nn.Conv2d(rank, layer.out_channels, 1, bias=False),
        )
    linear: Any = layer
    return (
        nn.Linear(linear.in_features, rank, bias=False),
        nn.Linear(rank, linear.out_features, bias=False),
    )


@dataclass(frozen=True, kw_only=True)
class Network:
    """All adapters of a training."""

    unet: nn.ModuleDict
    text: nn.ModuleDict

    @classmethod
    def fresh(
        cls, model: Model, *, rank: int, alpha: float, dropout: float, unet: bool, text: bool, seed: int
    ) -> "Network":
        """Make an adapter for each layer, from *seed*, and put it beside the layer."""
        torch.manual_seed(seed)
        made = {UNET: nn.ModuleDict(), TEXT: nn.ModuleDict()}
        for name, layer in trained(model, unet=unet, text=text).items():
            adapter = Adapter(layer, rank, alpha, dropout).to(model.place.device)
            adapter.beside(layer)
            made[UNET if name.startswith(UNET) else TEXT][name] = adapter
        return cls(unet=made[UNET], text=made[TEXT])

    def parameters(self) -> list[nn.Parameter]:
        """Return all that is learned."""
        return [*self.unet.parameters(), *self.text.parameters()]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return every tensor by its name in the file."""
        return {**self.unet.state_dict(), **self.text.state_dict()}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go on from tensors that were kept."""
        for network, prefix in ((self.unet, UNET), (self.text, TEXT)):
            network.load_state_dict({key: each for key, each in tensors.items() if key.startswith(prefix)})

    def train(self, learning: bool) -> None:
        """Switch dropout on or off."""
        self.unet.train(learning)
        self.text.train(learning)
