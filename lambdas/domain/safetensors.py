"""The beginning of a `.safetensors` file: the length of its header, and the header, which is JSON.

What the header says of the data must be so: a file that was cut off, or that is something else under this
name, is found here and not on an endpoint.
"""

from __future__ import annotations

import json
from typing import Any

LENGTH = 8
LARGEST_HEADER = 16 * 1024 * 1024
"""Bytes; that of a large model has less than one million."""

OPENING = b"{"


def header_end(size: int, start: bytes) -> int | None:
    """Return where the header ends, given the first bytes of a file; None when it is no such file."""
    if len(start) <= LENGTH or start[LENGTH : LENGTH + 1] != OPENING:
        return None
    end = LENGTH + int.from_bytes(start[:LENGTH], "little")
    return end if LENGTH < end <= min(size, LENGTH + LARGEST_HEADER) else None


def may_be(start: bytes) -> bool:
    """Say whether more than 8 first bytes may be of such a file of any size."""
    return header_end(LENGTH + LARGEST_HEADER, start) is not None


def is_whole(size: int, header: bytes) -> bool:
    """Say whether a header, without its length, describes data that ends where the file does."""
    try:
        document = json.loads(header)
    except (ValueError, RecursionError):
        return False
    if not isinstance(document, dict):
        return False
    ends = [_end(each) for name, each in document.items() if name != "__metadata__"]
    return (
        bool(ends) and None not in ends and max(filter(None, ends), default=0) == size - LENGTH - len(header)
    )


def _end(tensor: Any) -> int | None:
    """Return where a tensor's data ends; None when this describes none."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get("dtype"), str):
        return None
    offsets = tensor.get("data_offsets")
    if not isinstance(offsets, list) or len(offsets) != 2 or not isinstance(tensor.get("shape"), list):
        return None
    if any(type(each) is not int for each in offsets) or not 0 <= offsets[0] <= offsets[1]:
        return None
    return int(offsets[1])
