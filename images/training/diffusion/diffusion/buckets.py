"""Buckets: sizes of about the same area, so that images of the same ratio are learned from together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from diffusion.recipe import Recipe, Side


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How an image gets a bucket's size: resized so that it covers it, then cut around its middle."""

    bucket: Side
    resized: tuple[int, int]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Return the part that is kept."""
        left = (self.resized[0] - self.bucket.width) // 2
        top = (self.resized[1] - self.bucket.height) // 2
        return left, top, left + self.bucket.width, top + self.bucket.height


def sizes(recipe: Recipe) -> list[Side]:
    """List the buckets: of every allowed width the highest that fits the area, and the same lying down."""
    if not recipe.enable_bucket:
        return [recipe.resolution]
    area, step = recipe.resolution.width * recipe.resolution.height, recipe.bucket_reso_steps
    even = int(math.sqrt(area)) // step * step
    found = {(even, even)} if even else set()
    for width in range(_up(recipe.shortest, step), recipe.max_bucket_reso + 1, step):
        height = min(recipe.max_bucket_reso, area // width // step * step)
        if height >= recipe.shortest:
            found |= {(width, height), (height, width)}
    return [Side(width=width, height=height) for width, height in sorted(found)] or [recipe.resolution]


def cut(size: tuple[int, int], choices: Sequence[Side], recipe: Recipe) -> Cut:
    """Choose the bucket of an image: that of the nearest ratio, or one of its own if it is not enlarged."""
    width, height = size
    if recipe.bucket_no_upscale and recipe.enable_bucket:
        return _own(width, height, recipe)
    ratio = width / height
    nearest = min(choices, key=lambda each: (abs(each.width / each.height - ratio), each.width))
    return covered(size, nearest)


def covered(size: tuple[int, int], bucket: Side) -> Cut:
    """Resize so that the bucket is just covered."""
    scale = max(bucket.width / size[0], bucket.height / size[1])
    resized = max(bucket.width, round(size[0] * scale)), max(bucket.height, round(size[1] * scale))
    return Cut(bucket=bucket, resized=resized)


def _own(width: int, height: int, recipe: Recipe) -> Cut:
    """Shrink an image to the area if it is larger, and drop what is no multiple of the step."""
    area, step = recipe.resolution.width * recipe.resolution.height, recipe.bucket_reso_steps
    scale = min(1.0, math.sqrt(area / (width * height)))
    wide, high = max(8, round(width * scale)), max(8, round(height * scale))
    bucket = Side(width=_down(wide, step), height=_down(high, step))
    return covered((width, height), bucket)


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def _down(value: int, step: int) -> int:
    """Round down to a multiple of the step; of what is smaller than one, to a multiple of 8."""
    return value // step * step or value // 8 * 8
