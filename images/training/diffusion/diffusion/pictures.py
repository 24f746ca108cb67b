"""Images as the WebUI's API carries them: base64 in, PNG with the infotext in base64 out."""

import base64
import binascii
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from diffusion.errors import Invalid

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 4096 * 4096
FIELD = "params.init_images"
MASK = "params.mask"

Pixels = NDArray[np.uint8]


def decode(text: str, width: int, height: int) -> Pixels:
    """Read an image and resize it to what is painted."""
    return np.array(read(text).resize((width, height), Image.Resampling.LANCZOS))


def read(text: str) -> Image.Image:
    """Read an image; what shines through it is white."""
    return _opened(text, FIELD, _opaque)


def read_mask(text: str, *, rounded: bool) -> Image.Image:
    """Read a mask: how opaque an image is that can be seen through, else how light it is."""
    mask = _opened(text, MASK, _lightness)
    return mask.point(lambda level: 255 if level > 128 else 0) if rounded else mask


def _opened(text: str, field: str, made: Callable[[Image.Image], Image.Image]) -> Image.Image:
    raw = text.partition(",")[2] if text.startswith("data:") else text
    try:
        body = base64.b64decode(raw, validate=True)
        with Image.open(io.BytesIO(body), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Invalid(
                    f"{field} must have at most {MAX_PIXELS} pixels, not {image.width}x{image.height}"
                )
            return made(image)
    except binascii.Error:
        raise Invalid(f"{field} must hold base64") from None
    except UnidentifiedImageError:
        raise Invalid(f"{field} must hold one of {', '.join(FORMATS)}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Invalid(f"{field} holds an image that cannot be read: {error}") from None


def _lightness(image: Image.Image) -> Image.Image:
    if image.has_transparency_data and (alpha := image.convert("RGBA").getchannel("A")).getextrema()[0] < 255:
        return alpha
    return image.convert("L")


def _opaque(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def encode(pixels: Pixels, infotext: str) -> str:
    """Write a PNG that tells how it was made, in base64."""
    return base64.b64encode(png(pixels, infotext)).decode()


def png(pixels: Pixels, infotext: str) -> bytes:
    """Write a PNG that tells how it was made."""
    about = PngInfo()
    about.add_text("parameters", infotext)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=about)
    return buffer.getvalue()
