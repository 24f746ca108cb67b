"""Pictures that show how far a training is."""

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import diffusers

from diffusion import infotext, params, pictures
from diffusion.channels import Parent
from diffusion.infotext import Maker
from diffusion.models import Model
from diffusion.painter import Painter
from diffusion.recipe import Recipe

VERSION = f"diffusers {diffusers.__version__}"


class Samples:
    """Paints the prompts of a recipe with a model as it is now."""

    def __init__(self, model: Model, recipe: Recipe, parent: Parent) -> None:
        self._model, self._recipe = model, recipe
        name = PurePosixPath(parent.name).name.removesuffix(".safetensors")
        self._maker = Maker(model=name, sha256=parent.sha256 or "", version=VERSION)

    def paint(self, caption: str, is_over: Callable[[], bool]) -> Iterator[tuple[str, bytes]]:
        """Paint each prompt, or *caption* if there is none; always from the same seed."""
        for prompt in self._recipe.sample_prompts or (caption,):
            wish = params.parse("txt2img", self._form(prompt))
            pixels = Painter(self._model, wish, None, is_over).paint(wish.seed)
            yield prompt, pictures.png(pixels, infotext.text(wish, wish.seed, self._maker))

    def _form(self, prompt: str) -> dict[str, object]:
        return {
            "prompt": prompt,
            "seed": self._recipe.seed,
            "steps": self._recipe.sample_steps,
            "sampler_name": self._recipe.sample_sampler,
            "width": self._recipe.resolution.width,
            "height": self._recipe.resolution.height,
            "clip_skip": self._recipe.clip_skip,
        }
