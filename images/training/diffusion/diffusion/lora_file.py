"""A LoRA's file: kohya's names and metadata, written whole, and the hash by which the WebUI knows it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch

from diffusion.report import now

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "float": torch.float32}
PIECE = 1024 * 1024
#: How much of the hash the WebUI shows.
SHOWN = 12


def write(
    path: Path, tensors: Mapping[str, torch.Tensor], precision: str, metadata: Mapping[str, str]
) -> dict[str, str]:
    """Write a LoRA aside and rename it; return its metadata, the hash of its content included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.part")
    kept = {name: each.detach().cpu().to(DTYPES[precision]).contiguous() for name, each in tensors.items()}
    digest = _content(safetensors.torch.save(kept, {"format": "pt"}))
    said = {**metadata, "ss_training_finished_at": now(), "sshs_model_hash": digest, "format": "pt"}
    safetensors.torch.save_file(kept, aside, said)
    aside.rename(path)
    return said


def content_hash(path: Path) -> str:
    """Return the SHA-256 of what follows the header, so that metadata can change and the hash does not."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def shown_hash(path: Path, metadata: Mapping[str, str]) -> str:
    """Return the hash that the WebUI shows; it believes what the file says of itself."""
    return (metadata.get("sshs_model_hash") or content_hash(path))[:SHOWN]


def _content(body: bytes) -> str:
    return hashlib.sha256(body[8 + int.from_bytes(body[:8], "little") :]).hexdigest()


def told(value: object) -> str:
    """Write a value as kohya's metadata does: plain, or JSON for what has parts."""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
