"""Images on their way into a form: as tall and wide as they are wanted, as PNG in base64."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

LANCZOS = 1
"""PIL's number for it, under every name that it has had there."""

STRETCH, CROP, FILL = 0, 1, 2


def encode(image: Image) -> str:
    """Return an image as PNG in base64; nothing of where it comes from goes along."""
    buffer = io.BytesIO()
    shown = image if image.mode in {"1", "L", "LA", "P", "RGB", "RGBA"} else image.convert("RGB")
    shown.save(buffer, "PNG", compress_level=1, pnginfo=None, exif=b"", icc_profile=None)
    return base64.b64encode(buffer.getvalue()).decode()


def fit(image: Image, width: int, height: int, mode: int) -> Image:
    """Return an image of that size, by one of the WebUI's ways to resize it."""
    return WAYS[mode](image, width, height)


def _stretch(image: Image, width: int, height: int) -> Image:
    return image if image.size == (width, height) else image.resize((width, height), LANCZOS)


def _crop(image: Image, width: int, height: int) -> Image:
    """Cover the whole size, and cut off what stands out on both sides alike."""
    scale = max(width / image.width, height / image.height)
    covering = _scaled(image, scale)
    left, top = (covering.width - width) // 2, (covering.height - height) // 2
    return covering.crop((left, top, left + width, top + height))


def _fill(image: Image, width: int, height: int) -> Image:
    """Show the whole image in the middle, and draw its edges out to the sides."""
    inner = _scaled(image, min(width / image.width, height / image.height))
    inner = inner.crop((0, 0, min(inner.width, width), min(inner.height, height)))
    left, top = (width - inner.width) // 2, (height - inner.height) // 2
    right, bottom = left + inner.width, top + inner.height
    whole = inner.resize((width, height), LANCZOS)
    if top:
        whole.paste(inner.crop((0, 0, inner.width, 1)).resize((width, top)), (0, 0))
    if bottom < height:
        last = inner.crop((0, inner.height - 1, inner.width, inner.height))
        whole.paste(last.resize((width, height - bottom)), (0, bottom))
    if left:
        whole.paste(inner.crop((0, 0, 1, inner.height)).resize((left, height)), (0, 0))
    if right < width:
        last = inner.crop((inner.width - 1, 0, inner.width, inner.height))
        whole.paste(last.resize((width - right, height)), (right, 0))
    whole.paste(inner, (left, top))
    return whole


def _scaled(image: Image, scale: float) -> Image:
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, LANCZOS)


WAYS: Mapping[int, Callable[[Image, int, int], Image]] = {STRETCH: _stretch, CROP: _crop, FILL: _fill}
"""What is done here; the fourth way, latent upscale, only the model can do."""
