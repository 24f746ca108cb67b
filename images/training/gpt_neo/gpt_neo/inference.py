"""GPT-Neo for answering: rows of different lengths grow together, one token a step.

Written out here, and not taken from transformers, for two promises. A row's text must not depend on its
neighbours: sums are taken in 64 bits, where padding and batch size change nothing that could tip a choice
(transformers computes attention in 32 bits whatever the model's type). And rows must be able to come and go
between two tokens, which `generate` does not allow. A test holds the numbers against transformers'.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

Cache = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Model:
    """The weights of a GPT-Neo and the shape they have."""

    weights: dict[str, Tensor]
    heads: int
    context: int
    vocabulary: int
    windows: tuple[int | None, ...]
    epsilon: float

    @classmethod
    def load(cls, folder: Path, configuration: dict[str, Any], dtype: torch.dtype) -> "Model":
        """Load the weights that training left in *folder*."""
        loaded = load_file(folder / "model.safetensors")
        window = configuration["window_size"]
        kinds = configuration["attention_layers"]
        return cls(
            weights={name.removeprefix("transformer."): each.to(dtype) for name, each in loaded.items()},
            heads=configuration["num_heads"],
            context=configuration["max_position_embeddings"],
            vocabulary=configuration["vocab_size"],
            windows=tuple(window if kind == "local" else None for kind in kinds),
            epsilon=configuration["layer_norm_epsilon"],
        )

    @torch.inference_mode()
    def forward(self, ids: Tensor, starts: Tensor, past: Cache | None = None) -> tuple[Tensor, Cache]:
        """Return the logits after the last column of *ids*, and the cache grown by *ids*.

        Rows are padded on the left: *starts* says in which column, the past's included, each row begins.
        """
        seen = past[0][0].shape[2] if past else 0
        columns = torch.arange(seen, seen + ids.shape[1])
        positions = (columns - starts[:, None]).clamp(min=0)
        hidden = self.weights["wte.weight"][ids] + self.weights["wpe.weight"][positions]
        masks = {window: _mask(columns, starts, window) for window in set(self.windows)}
        cache: Cache = []
        for number, window in enumerate(self.windows):
            before = past[number] if past else None
            attended, kept = self._attend(f"h.{number}.", hidden, masks[window], before)
            hidden = hidden + attended
            hidden = hidden + self._think(f"h.{number}.", hidden)
            cache.append(kept)
        last = self._norm("ln_f", hidden[:, -1])
        return last @ self.weights["wte.weight"].T, cache

    def _attend(
        self, layer: str, hidden: Tensor, mask: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        normed = self._norm(layer + "ln_1", hidden)
        attention = layer + "attn.attention."
        query, key, value = (self._heads(normed, f"{attention}{each}_proj.weight") for each in "qkv")
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        # GPT-Neo does not scale by the width of a head.
        scores = (query @ key.transpose(-1, -2)).masked_fill(~mask, float("-inf"))
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        return self._linear(attention + "out_proj", mixed), (key, value)

    def _think(self, layer: str, hidden: Tensor) -> Tensor:
        wide = self._linear(layer + "mlp.c_fc", self._norm(layer + "ln_2", hidden))
        return self._linear(layer + "mlp.c_proj", functional.gelu(wide, approximate="tanh"))

    def _heads(self, hidden: Tensor, weight: str) -> Tensor:
        mixed = functional.linear(hidden, self.weights[weight])
        return mixed.view(*mixed.shape[:2], self.heads, -1).transpose(1, 2)

    def _linear(self, name: str, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self.weights[name + ".weight"], self.weights[name + ".bias"])

    def _norm(self, name: str, hidden: Tensor) -> Tensor:
        weight, bias = self.weights[name + ".weight"], self.weights[name + ".bias"]
        return functional.layer_norm(hidden, weight.shape, weight, bias, self.epsilon)


def select(cache: Cache, rows: list[int], columns: int) -> Cache:
    """Keep *rows* of *cache*, and of their columns the last ones: the others were padding."""
    return [(key[rows, :, -columns:], value[rows, :, -columns:]) for key, value in cache]


def merge(one: Cache, other: Cache) -> Cache:
    """Put the rows of two caches into one, padding the shorter on the left."""
    columns = max(one[0][0].shape[2], other[0][0].shape[2])
    return [
        (
            torch.cat([_padded(a, columns), _padded(c, columns)]),
            torch.cat([_padded(b, columns), _padded(d, columns)]),
        )
        for (a, b), (c, d) in zip(one, other, strict=True)
    ]


def _padded(tensor: Tensor, columns: int) -> Tensor:
    return functional.pad(tensor, (0, 0, columns - tensor.shape[2], 0))


def _mask(columns: Tensor, starts: Tensor, window: int | None) -> Tensor:
    """Let each column see those before it in its own row, in a local layer the nearest ones; and itself."""
    keys = torch.arange(int(columns[-1]) + 1)
    distance = columns[:, None] - keys
    seen = distance >= 0 if window is None else (distance >= 0) & (distance < window)
    own = keys >= starts[:, None, None]
    return (seen & (own | (distance == 0)))[:, None]
