"""Images as latents on disk: encoded once, so that memory holds a batch and not the dataset.

Mean and deviation of each latent are kept; what is learned from is drawn anew at each look.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from diffusion import buckets, dataset
from diffusion.configs import REDUCTION, SCALE
from diffusion.dataset import Dataset, Picture, Skipped, Unreadable
from diffusion.errors import Failure
from diffusion.layout import LATENT
from diffusion.models import Model
from diffusion.order import Look
from diffusion.recipe import Recipe, Side

#: A line of the log for so many images.
TOLD_EVERY = 100
HALF = 65504.0


class Latents:
    """What the VAE makes of a dataset, in one file under *folder*."""

    def __init__(self, found: Dataset, recipe: Recipe, folder: Path, *, pause: Callable[[str], None]) -> None:
        self._recipe, self._pause = recipe, pause
        self._path = folder / "latents"
        self._turns = 2 if recipe.flip_aug else 1
        self.skipped: list[Skipped] = list(found.skipped)
        self.looks: list[Look] = []
        self._pictures = found.pictures
        self._values: NDArray[np.float16] = np.empty(0, np.float16)

    def fill(self, model: Model, say: Callable[[str], None]) -> None:
        """Encode every image; one that turns out to be damaged is left out."""
        choices, offset = buckets.sizes(self._recipe), 0
        with self._path.open("wb") as file:
            for number, picture in enumerate(self._pictures):
                self._pause(f"while image {number + 1} of {len(self._pictures)} was prepared")
                cut = buckets.cut(picture.size, choices, self._recipe)
                try:
                    image = _cut(picture, cut)
                except Unreadable as error:
                    self.skipped.append(Skipped(name=picture.name, reason=str(error)))
                    say(f"warning: {picture.name} is left out: {error}")
                    continue
                for turned in range(self._turns):
                    file.write(_encoded(model, np.flip(image, 1) if turned else image).tobytes())
                self.looks.append(Look(picture=picture, bucket=cut.bucket, offset=offset))
                offset += self._turns * _length(cut.bucket)
                if (number + 1) % TOLD_EVERY == 0:
                    say(f"prepared {number + 1} of {len(self._pictures)} images")
        if not self.looks:
            raise Failure(dataset.none_left(len(self._pictures), self.skipped))
        self._values = np.memmap(self._path, np.float16, "r")

    def draw(self, look: Look, random: torch.Generator) -> torch.Tensor:
        """Draw the latent of one look; which way round is drawn too."""
        turned = int(torch.randint(self._turns, (), generator=random))
        start = look.offset + turned * _length(look.bucket)
        values = np.array(self._values[start : start + _length(look.bucket)], np.float32)
        mean, deviation = torch.from_numpy(values).view(2, LATENT, *_sides(look.bucket))
        noise = torch.randn(mean.shape, generator=random)
        return (mean + deviation * noise) * SCALE


def _cut(picture: Picture, cut: buckets.Cut) -> NDArray[np.uint8]:
    with dataset.opened(picture.path) as image:
        # a JPEG is read no larger than needed
        image.draft("RGB", cut.resized if picture.size == image.size else cut.resized[::-1])
        resized = dataset.upright(image).resize(cut.resized, Image.Resampling.LANCZOS)
        return np.asarray(resized.crop(cut.box))


@torch.inference_mode()
def _encoded(model: Model, image: NDArray[np.uint8]) -> NDArray[np.float16]:
    pixels = torch.from_numpy(image.copy()).to(model.place.device).permute(2, 0, 1)[None]
    found = model.vae.encode(pixels / 127.5 - 1).latent_dist
    both = torch.cat([found.mean, found.std]).clamp(-HALF, HALF)
    if not bool(both.isfinite().all()):
        raise Failure("the checkpoint's VAE makes no numbers of an image: its weights may be broken")
    return np.asarray(both.cpu().numpy(), np.float16)


def _sides(bucket: Side) -> tuple[int, int]:
    return bucket.height // REDUCTION, bucket.width // REDUCTION


def _length(bucket: Side) -> int:
    high, wide = _sides(bucket)
    return 2 * LATENT * high * wide
