"""What a file that says to be a checkpoint really is, told by its beginning."""

from __future__ import annotations

from atelier.lambdas.domain import safetensors
from atelier.lambdas.domain.checkpoints import File
from atelier.lambdas.ports.checkpoints import Uploads

START = 256 * 1024
"""Bytes that are read first; the header of most models has fewer."""


def flaw(file: File, uploads: Uploads) -> str:
    """Say what is wrong with a `.safetensors` file; nothing when it is one."""
    size, start = uploads.begins(file.key, START)
    end = safetensors.header_end(size, start)
    if end is None:
        return f"{file.name} is not a safetensors file"
    if end > len(start):
        _, start = uploads.begins(file.key, end)
    if not safetensors.is_whole(size, start[safetensors.LENGTH : end]):
        return f"{file.name} is not a whole safetensors file"
    return ""
