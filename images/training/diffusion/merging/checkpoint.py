"""A checkpoint as it lies in its .safetensors file: what it holds, and where; read in parts, never whole.

It is read by offset and not mapped into memory: a file that someone cuts short meanwhile is an error, not the
end of the process, and what was read counts in nobody's memory.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from .errors import MergeError

#: The longest header that safetensors' own library reads.
LONGEST = 100_000_000
#: Bytes of one number, by the format's names.
SIZES: Mapping[str, int] = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}
#: What pickles begin with, alone or in the archive that torch.save writes.
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
UNET = "model.diffusion_model."
#: What the oldest checkpoints call the parts of their text encoder, and what all others do.
RENAMED: Mapping[str, str] = {
    f"cond_stage_model.transformer.{part}": f"cond_stage_model.transformer.text_model.{part}"
    for part in ("embeddings.", "encoder.", "final_layer_norm.")
}
OTHERS: Mapping[str, str] = {
    "lora_unet_": "a LoRA",
    "lora_te_": "a LoRA",
    "lora_te1_": "a LoRA",
    "control_model.": "a ControlNet",
    "down_blocks.": "a UNet as diffusers writes it, without its VAE and text encoder",
    "decoder.": "a VAE",
}


@dataclass(frozen=True)
class Tensor:
    """One tensor: the type of its numbers, its shape, and where in the file they begin."""

    kind: str
    shape: tuple[int, ...]
    start: int

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def width(self) -> int:
        """How many bytes one number has."""
        return SIZES[self.kind]


class Checkpoint:
    """An open checkpoint."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        try:
            self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise MergeError(f"{name} cannot be read: {error.strerror}") from None
        try:
            self.tensors, self.metadata, self.size = self._understood()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> "Checkpoint":
        """Keep it open."""
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        trace: "TracebackType | None",
    ) -> None:
        """Close it."""
        os.close(self._descriptor)

    def read(self, into: memoryview, start: int) -> None:
        """Fill *into* with what is at *start*."""
        try:
            self._fill(into, start)
        except OSError as error:
            raise MergeError(f"{self.name} cannot be read: {error.strerror}") from None

    def _fill(self, into: memoryview, start: int) -> None:
        while into:
            found = os.preadv(self._descriptor, [into], start)
            if not found:
                raise MergeError(f"{self.name} became shorter while it was read: nothing was merged")
            into, start = into[found:], start + found

    def _understood(self) -> "tuple[dict[str, Tensor], dict[str, str], int]":
        size = os.fstat(self._descriptor).st_size
        start = self._beginning(8)
        if start.startswith(PICKLES):
            raise MergeError(
                f"{self.name} is a pickled file, which may hold code: convert it to .safetensors"
            )
        length = int.from_bytes(start, "little")
        if len(start) < 8 or not 2 <= length <= min(LONGEST, size - 8):
            raise MergeError(f"{self.name} is not a .safetensors file, or only the beginning of one")
        raw = bytearray(length)
        self.read(memoryview(raw), 8)
        try:
            table = json.loads(raw.decode(), object_pairs_hook=_once)
            metadata = {str(key): str(value) for key, value in table.pop("__metadata__", {}).items()}
            tensors = {name: _tensor(entry, 8 + length) for name, entry in table.items()}
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            raise MergeError(f"{self.name} has a damaged header: fetch or convert it again") from None
        self._check_extent(tensors.values(), 8 + length, size)
        return {_modern(name): each for name, each in tensors.items()}, metadata, size

    def _beginning(self, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, 0)
        except OSError as error:  # a folder can be opened, but not read
            raise MergeError(f"{self.name} cannot be read: {error.strerror}") from None

    def _check_extent(self, tensors: Iterable[Tensor], start: int, size: int) -> None:
        """Refuse tensors that overlap, leave holes, or do not end where the file does."""
        for each in sorted(tensors, key=lambda each: (each.start, each.count)):
            if each.start != start:
                raise MergeError(f"{self.name} has a damaged header: its tensors overlap or leave holes")
            start += each.count * each.width
        if start > size:
            raise MergeError(f"{self.name} is cut short: it has {size:,} of {start:,} bytes; fetch it again")
        if start < size:
            raise MergeError(f"{self.name} is longer than its header says: {size:,} for {start:,} bytes")

    def check_is_stable_diffusion(self) -> None:
        """Refuse what is not a whole checkpoint; say what it is, if that is known."""
        if any(name.startswith(UNET) for name in self.tensors):
            return
        other = next(
            (told for start, told in OTHERS.items() if any(n.startswith(start) for n in self.tensors)), ""
        )
        told = f"it is {other}" if other else f"it has no tensor {UNET}*"
        raise MergeError(f"{self.name} is not a Stable Diffusion checkpoint: {told}")


def _once(pairs: "list[tuple[str, Any]]") -> "dict[str, Any]":
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def _tensor(entry: "dict[str, Any]", base: int) -> Tensor:
    kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not all(type(each) is int and each >= 0 for each in (*shape, begin, end)):
        raise ValueError("no sizes")
    found = Tensor(kind, tuple(shape), base + begin)
    if end - begin != found.count * found.width:
        raise ValueError("sizes that do not fit")
    return found


def _modern(name: str) -> str:
    old = next((each for each in RENAMED if name.startswith(each)), None)
    return name if old is None else RENAMED[old] + name[len(old) :]
