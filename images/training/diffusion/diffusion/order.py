"""In which order, and with which caption, images are looked at: it follows from the seed and the step alone.

So a job that goes on after an interruption looks at the same images as one that was never interrupted.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from diffusion.dataset import Picture
from diffusion.recipe import Recipe, Side


@dataclass(frozen=True, kw_only=True)
class Look:
    """One image in a bucket, and where its latents lie."""

    picture: Picture
    bucket: Side
    offset: int


Batch = list[Look]


class Order:
    """Batches of one bucket each, shuffled anew each epoch."""

    def __init__(self, looks: Sequence[Look], recipe: Recipe) -> None:
        self._looks, self._recipe = looks, recipe
        self.batches = len(self._shuffled(0))
        accumulated = recipe.gradient_accumulation_steps
        self.steps_per_epoch = -(-self.batches // accumulated)
        self.steps = min(recipe.max_train_epochs * self.steps_per_epoch, recipe.max_train_steps or 2**62)
        self.epochs = -(-self.steps // self.steps_per_epoch)
        self._epoch: tuple[int, list[Batch]] = (-1, [])

    def epoch(self, step: int) -> int:
        """Say in which epoch a step is; both count from 0."""
        return step // self.steps_per_epoch

    def at(self, step: int) -> list[Batch]:
        """Return the batches of a step."""
        epoch = self.epoch(step)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._shuffled(epoch))
        size = self._recipe.gradient_accumulation_steps
        start = step % self.steps_per_epoch * size
        return self._epoch[1][start : start + size]

    def caption(self, look: Look, draw: random.Random) -> str:
        """Return what is said of an image this time."""
        caption = look.picture.caption
        if draw.random() < self._recipe.caption_dropout_rate:
            return ""
        if not self._recipe.shuffle_caption:
            return caption
        tags = [each.strip() for each in caption.split(",")]
        kept, loose = tags[: self._recipe.keep_tokens], tags[self._recipe.keep_tokens :]
        draw.shuffle(loose)
        return ", ".join([*kept, *loose])

    def _shuffled(self, epoch: int) -> list[Batch]:
        draw = random.Random(f"{self._recipe.seed} {epoch}")
        by_bucket: dict[str, Batch] = {}
        for look in self._looks:
            by_bucket.setdefault(f"{look.bucket.width}x{look.bucket.height}", []).extend(
                [look] * look.picture.repeats
            )
        size, batches = self._recipe.train_batch_size, []
        for each in by_bucket.values():
            draw.shuffle(each)
            batches += [each[start : start + size] for start in range(0, len(each), size)]
        draw.shuffle(batches)
        return batches
