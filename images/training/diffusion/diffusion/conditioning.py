"""What the text encoder makes of a text, chunk by chunk."""

from collections.abc import Mapping

import torch

from diffusion import prompts
from diffusion.errors import Invalid
from diffusion.layout import TOKENS
from diffusion.models import Model
from diffusion.prompts import Chunk, Learned


class Reader:
    """Reads prompts with one model, in which words that were learned elsewhere have a meaning too."""

    def __init__(
        self, model: Model, clip_skip: int, vectors: Mapping[str, torch.Tensor] | None = None
    ) -> None:
        layers = model.text.config.num_hidden_layers
        if clip_skip > layers:
            raise Invalid(f"params.clip_skip must be at most {layers}: this checkpoint has no more layers")
        self._model, self._skip, self._vectors = model, clip_skip, dict(vectors or {})
        self._learned = [
            Learned(name=name, ids=tuple(model.words.encode(name)), length=len(each))
            for name, each in self._vectors.items()
        ]
        self.used: list[str] = []

    def meaning(self, prompt: str) -> torch.Tensor:
        """Read a prompt with its attention."""
        words = self._model.words
        chunks = prompts.chunks(prompt, words.encode, words.comma, self._learned)
        found = [name for each in chunks for name in each.learned.values()]
        self.used = [*dict.fromkeys([*self.used, *found])]
        return torch.cat([self._weighed(each) for each in chunks], dim=1)

    def plain(self, caption: str, most: int) -> torch.Tensor:
        """Read a caption as it stands, at most so many tokens of it; it always has as many chunks."""
        ids = self._model.words.encode(caption)[:most]
        chunks = [ids[start : start + prompts.CHUNK] for start in range(0, most, prompts.CHUNK)]
        return torch.cat([self._read(each, {}) for each in chunks], dim=1)

    def _weighed(self, chunk: Chunk) -> torch.Tensor:
        """Read one chunk; weights change how loud a token is, not how loud the chunk is."""
        place = self._model.place
        meaning = self._read(chunk.ids, chunk.learned).float()
        weights = [1.0, *chunk.weights, *(1.0 for _ in range(TOKENS - 1 - len(chunk.ids)))]
        weighed = meaning * torch.tensor(weights, device=place.device)[None, :, None]
        if any(each != 1.0 for each in chunk.weights):
            weighed = weighed * (meaning.mean() / weighed.mean())
        return weighed.to(place.dtype)

    def _read(self, ids: list[int], learned: Mapping[int, str]) -> torch.Tensor:
        """Return what the last layer but a few says of one chunk."""
        words, text = self._model.words, self._model.text
        filled = [words.start, *ids, *[words.end] * (TOKENS - 1 - len(ids))]

        def replace(layer: object, inputs: object, rows: torch.Tensor) -> torch.Tensor:
            changed = rows.clone()
            for position, name in learned.items():
                vectors = self._vectors[name].to(rows)
                changed[0, 1 + position : 1 + position + len(vectors)] = vectors
            return changed

        hook = text.get_input_embeddings().register_forward_hook(replace) if learned else None
        try:
            states = text(torch.tensor([filled], device=self._model.place.device), output_hidden_states=True)
        finally:
            if hook:
                hook.remove()
        meaning: torch.Tensor = text.final_layer_norm(states.hidden_states[-self._skip])
        return meaning
