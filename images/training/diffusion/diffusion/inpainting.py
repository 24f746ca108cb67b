"""Inpainting: which part of a picture is painted anew, and how that comes back into the picture.

The mask is white where something new is wanted. With *only_masked*, that region alone is painted, as large as
a whole picture, and put back into its place in the original.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from diffusion.masks import ORIGINAL, Masking
from diffusion.pictures import Pixels

#: How far the colours around a mask run into it, the widest first.
REACHES = (256, 64, 32, 16, 8, 4, 2, 1)
FAINTEST = 16

Box = tuple[int, int, int, int]
Mask = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """What is painted on: its pixels, and between 0 and 1 how new each of them is to be."""

    pixels: Pixels
    mask: Mask | None = None
    content: int = ORIGINAL
    rounded: bool = True
    original: Image.Image | None = None
    seam: Image.Image | None = None
    box: Box | None = None

    def finished(self, painted: Pixels) -> Pixels:
        """Put what was painted where the mask is, and leave the rest as it was."""
        if self.original is None or self.seam is None:
            return painted
        layer = Image.fromarray(painted)
        if self.box is not None:
            left, top, right, bottom = self.box
            whole = self.original.copy()
            whole.paste(layer.resize((right - left, bottom - top), Image.Resampling.LANCZOS), (left, top))
            layer = whole
        return np.array(Image.composite(layer, self.original, self.seam))


def stretched(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a picture of that size."""
    return picture.resize(size, Image.Resampling.LANCZOS)


def prepare(picture: Image.Image, mask: Image.Image, masking: Masking, size: tuple[int, int]) -> Canvas:
    """Lay out a picture and its mask for painting; a mask that is all black is none."""
    mask = mask if mask.size == picture.size else stretched(mask, picture.size)
    mask = ImageChops.invert(mask) if masking.inverted else mask
    mask = mask.filter(ImageFilter.GaussianBlur(masking.blur))
    whole = mask.getbbox()
    if whole is None:
        return Canvas(pixels=np.array(stretched(picture, size)))
    if masking.only_masked:
        box = region(whole, masking.padding, size, picture.size)
        near, inner = stretched(picture.crop(box), size), stretched(mask.crop(box), size)
        original, seam = picture, mask
    else:
        box = None
        near, inner = stretched(picture, size), stretched(mask, size)
        # where something new is blended in at all, half of it is enough to be seen whole
        original, seam = near, inner.point(lambda level: min(255, 2 * level))
    return Canvas(
        pixels=np.array(filled(near, inner) if masking.content != ORIGINAL else near),
        mask=np.asarray(inner, np.float32) / 255,
        content=masking.content,
        rounded=masking.rounded,
        original=original,
        seam=seam,
        box=box,
    )


def region(box: Box, padding: int, size: tuple[int, int], bounds: tuple[int, int]) -> Box:
    """Return what to paint: the masked region and its padding, in the form's proportions if there is room."""
    left, top = max(0, box[0] - padding), max(0, box[1] - padding)
    right, bottom = min(bounds[0], box[2] + padding), min(bounds[1], box[3] + padding)
    wide, high = right - left, bottom - top
    if wide * size[1] < high * size[0]:
        left, right = _widened(left, right, math.ceil(high * size[0] / size[1]), bounds[0])
    else:
        top, bottom = _widened(top, bottom, math.ceil(wide * size[1] / size[0]), bounds[1])
    return left, top, right, bottom


def _widened(start: int, end: int, wanted: int, most: int) -> tuple[int, int]:
    """Make a stretch as long as is wanted, on both sides alike, within what there is."""
    wanted = min(wanted, most)
    start = max(0, min(start - (wanted - (end - start)) // 2, most - wanted))
    return start, start + wanted


def filled(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """Let the colours around the mask run into it, so that nothing of what was there shapes what comes."""
    known = ImageChops.invert(mask)
    is_around = known.point(lambda level: 255 if level == 255 else 0)
    around = Image.new("RGBA", picture.size)
    around.paste(picture, mask=is_around)
    found = np.asarray(picture)[np.asarray(is_around) == 255]
    mean = found.mean(axis=0).round() if len(found) else np.full(3, 127)
    canvas = Image.new("RGB", picture.size, tuple(int(each) for each in mean))
    for reach in REACHES:
        levels = np.asarray(around.filter(ImageFilter.GaussianBlur(reach)), np.float32)
        weight = levels[..., 3:]
        # what was blurred with nothing beside it is darker by as much as it is see-through
        colours = (levels[..., :3] * 255 / np.maximum(weight, 1)).clip(0, 255).astype(np.uint8)
        is_told = Image.fromarray(np.where(weight[..., 0] >= FAINTEST, 255, 0).astype(np.uint8))
        canvas.paste(Image.fromarray(colours), mask=is_told)
    canvas.paste(picture, mask=known)
    return canvas
