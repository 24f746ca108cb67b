"""What a training goes on from: whole or absent, written aside, synced, renamed, and checked when read."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

#: The one before the newest stays, in case the newest was damaged on its way to S3 and back.
KEPT = 2
PATTERN = "step-*.checkpoint"
ASIDE = ".part"


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write *state* so that a crash at any moment leaves either the old files or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    body = buffer.getbuffer()
    path = folder / f"step-{step:09d}.checkpoint"
    aside = path.with_name(path.name + ASIDE)
    with aside.open("wb") as file:
        file.write(hashlib.sha256(body).digest())
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    _prune(folder)
    return path


def newest(folder: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Read the newest checkpoint that is whole; say which ones are not."""
    for path in sorted(folder.glob(PATTERN), reverse=True):
        raw = path.read_bytes()
        if hashlib.sha256(raw[32:]).digest() != raw[:32]:
            say(f"warning: checkpoint {path.name} is damaged; trying the one before it")
            continue
        state: dict[str, Any] = torch.load(io.BytesIO(raw[32:]), map_location="cpu", weights_only=True)
        return state
    return None


def _prune(folder: Path) -> None:
    """Remove what was left half-written, and all but the newest checkpoints."""
    for each in (*folder.glob(PATTERN + ASIDE), *sorted(folder.glob(PATTERN))[:-KEPT]):
        each.unlink()
