"""What a .safetensors file says of itself: names, types and shapes of its tensors, and its metadata."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusion.errors import Invalid
from diffusion.layout import Shape

LONGEST = 100_000_000
#: What pickles begin with, alone or in the archive that torch.save writes.
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@dataclass(frozen=True, kw_only=True)
class Header:
    """A checkpoint's table of contents."""

    shapes: dict[str, Shape]
    metadata: dict[str, str]


def read(path: Path, who: str = "the checkpoint") -> Header:
    """Read the header of *who*; refuse what is no .safetensors file, a pickle by its name."""
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(PICKLES):
            raise Invalid(f"{who} is a pickled file, which may hold code: convert it to .safetensors")
        length = int.from_bytes(start, "little")
        if len(start) < 8 or not 2 <= length <= min(LONGEST, path.stat().st_size - 8):
            raise Invalid(f"{who} is not a .safetensors file")
        raw = file.read(length)
    try:
        table = json.loads(raw)
        metadata = table.pop("__metadata__", {})
        shapes = {name: _shape(entry) for name, entry in table.items()}
        return Header(shapes=shapes, metadata={str(key): str(value) for key, value in metadata.items()})
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise Invalid(f"{who}'s header is damaged") from None


def _shape(entry: dict[str, Any]) -> Shape:
    return tuple(int(each) for each in entry["shape"])
