"""A folder of images with captions; what cannot be read is left out, and said."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from diffusion.errors import Failure, Refused
from diffusion.recipe import Recipe

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
#: 240 MB as pixels; what a decompression bomb needs more of is refused before it is read.
MAX_PIXELS = 80_000_000
LONGEST_CAPTION = 20_000
#: kohya's folders: `10_name` is seen ten times an epoch, and captions that are missing are `name`.
FOLDER = re.compile(r"(?P<repeats>[1-9]\d{0,3})_(?P<name>.+)")


class Unreadable(Refused):
    """One file that is no image we can use; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image to learn from."""

    name: str
    path: Path
    caption: str
    repeats: int
    size: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file that is left out."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """All that is learned from, by name."""

    pictures: list[Picture]
    skipped: list[Skipped]


def images(folder: Path) -> list[Path]:
    """List what is called an image, in the order of names."""
    return sorted(each for each in folder.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())


def read(folder: Path, recipe: Recipe, say: Callable[[str], None]) -> Dataset:
    """Look at every image of *folder*; refuse a folder that has none."""
    pictures: list[Picture] = []
    skipped: list[Skipped] = []
    found = images(folder)
    for path in found:
        name = path.relative_to(folder).as_posix()
        try:
            with opened(path) as image:
                size = image.size[::-1] if _is_turned(image) else image.size
            pictures.append(_picture(name, path, size, recipe))
        except Unreadable as error:
            skipped.append(Skipped(name=name, reason=str(error)))
            say(f"warning: {name} is left out: {error}")
    if not pictures:
        raise Failure(none_left(len(found), skipped))
    return Dataset(pictures=pictures, skipped=skipped)


def none_left(found: int, skipped: list[Skipped]) -> str:
    """Say why a dataset is of no use."""
    if not found:
        return f"the dataset is empty: it has no image ({', '.join(sorted(SUFFIXES))})"
    return f"the dataset has no image that can be read: {skipped[0].name} {skipped[0].reason}"


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image that is one, and not too large; errors while it is read are told as well."""
    if not path.stat().st_size:
        raise Unreadable("is empty: 0 bytes")
    try:
        with _header(path) as image:
            if image.width * image.height > MAX_PIXELS:
                size = f"{image.width}x{image.height}"
                raise Unreadable(f"has more than {MAX_PIXELS} pixels: {size}")
            yield image
    except UnidentifiedImageError:
        raise Unreadable(f"is none of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"has more than {MAX_PIXELS} pixels") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Unreadable(f"cannot be read: {error}") from None


def _header(path: Path) -> Image.Image:
    """Read what an image says of itself; how large is too large is ours to say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=FORMATS)


def upright(image: Image.Image) -> Image.Image:
    """Return an image as it is looked at: turned as its camera says, without what shines through."""
    turned = ImageOps.exif_transpose(image)
    if not turned.has_transparency_data:
        return turned.convert("RGB")
    white = Image.new("RGBA", turned.size, "white")
    return Image.alpha_composite(white, turned.convert("RGBA")).convert("RGB")


def tags(pictures: list[Picture]) -> Counter[str]:
    """Count what commas separate in the captions."""
    return Counter(tag.strip() for each in pictures for tag in each.caption.split(",") if tag.strip())


def _is_turned(image: Image.Image) -> bool:
    return image.getexif().get(0x0112, 1) >= 5


def _picture(name: str, path: Path, size: tuple[int, int], recipe: Recipe) -> Picture:
    named = FOLDER.fullmatch(path.parent.name)
    beside = path.with_suffix(recipe.caption_extension)
    caption = named["name"] if named else ""
    if beside.is_file():
        with beside.open(encoding="utf-8", errors="replace") as file:
            caption = " ".join(file.read(LONGEST_CAPTION).split())
    repeats = int(named["repeats"]) if named else recipe.dataset_repeats
    return Picture(name=name, path=path, caption=caption, repeats=repeats, size=size)
