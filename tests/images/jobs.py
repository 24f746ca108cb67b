"""Lay out /opt/ml for a job of the diffusion image, run it with a bucket, and read what it left."""

from __future__ import annotations

import io
import json
import signal
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bucket as buckets
from bucket import Bucket
from containers import Built, wait_for
from diffusion import tiny
from PIL import Image, ImageDraw

OUTPUT, REPORT = "loras/cat.safetensors", "trainings/1/"
PLACES = {"output": f"s3://bucket/{OUTPUT}", "report": f"s3://bucket/{REPORT}"}

#: Some seconds of arithmetic: 2 batches of 4, and one of 2, an epoch.
SMALL: Mapping[str, Any] = {
    "output_name": "cat",
    "max_train_epochs": 8,
    "save_every_n_epochs": 4,
    "resolution": 96,
    "min_bucket_reso": 64,
    "bucket_reso_steps": 32,
    "train_batch_size": 4,
    "network_dim": 8,
    "network_alpha": 4,
    "network_dropout": 0.1,
    "network_train_unet_only": False,
    "learning_rate": 5e-3,
    "shuffle_caption": True,
    "keep_tokens": 1,
    "caption_dropout_rate": 0.1,
    "flip_aug": True,
    "sample_prompts": "a photo of a cat",
    "sample_steps": 2,
}
CAPTION = "a photo of a cat, red, round, number {}"


def channel(base: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Fill a channel."""
    folder = base / "input" / "data" / name
    for each, body in files.items():
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        (folder / each).write_bytes(body)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def lay_out(base: Path, task: str, config: Mapping[str, Any], **channels: Mapping[str, bytes]) -> Path:
    """Lay out a job."""
    (base / "input" / "config").mkdir(parents=True)
    (base / "input" / "config" / "hyperparameters.json").write_text(json.dumps({"task": task}))
    channel(base, "config", {"config.json": json.dumps(PLACES | config).encode()})
    for name, files in channels.items():
        channel(base, name, files)
    return base


def request(**config_params: Any) -> dict[str, Any]:
    """Ask for a training."""
    return {
        "lora_train_type": "kohya",
        "params": {"training_params": {"fm_type": "sd_1_5"}, "config_params": SMALL | config_params},
    }


def training(base: Path, **config_params: Any) -> Path:
    """Lay out a training of ten pictures, and of a few files that are none."""
    base.mkdir(parents=True, exist_ok=True)
    model = {"tiny.safetensors": checkpoint(base)}
    return lay_out(base, "lora", request(**config_params), model=model, dataset=dataset() | broken())


def checkpoint(folder: Path, seed: int = 0) -> bytes:
    """Make a tiny checkpoint."""
    path = folder / f"{seed}.safetensors"
    tiny.write(path, seed)
    body = path.read_bytes()
    path.unlink()
    return body


def dataset() -> dict[str, bytes]:
    """Draw pictures of two forms, with captions."""
    files: dict[str, bytes] = {}
    for number in range(10):
        files[f"{number}.png"] = picture(number, (96, 96) if number < 8 else (128, 64))
        files[f"{number}.txt"] = CAPTION.format(number).encode()
    return files


def broken() -> dict[str, bytes]:
    """Make files that are called images."""
    return {
        "bomb.png": bomb(),
        "cut.png": picture(0, (96, 96))[:-40],
        "empty.jpg": b"",
        "text.webp": b"not an image",
    }


def picture(number: int, size: tuple[int, int], form: str = "PNG", **options: Any) -> bytes:
    """Draw a picture."""
    image = Image.new("RGB", size, (200, 25 * number, 40))
    ImageDraw.Draw(image).ellipse((8, 8, 40, 40), fill=(10, 200, 25 * number))
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def bomb() -> bytes:
    """Make a small file that says it is 12,000 x 12,000 pixels."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)),
        (b"IDAT", b""),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


@dataclass(frozen=True)
class Done:
    """A job that ended."""

    base: Path
    code: int
    log: str
    bucket: Bucket

    @property
    def failure(self) -> str:
        """Return the reason that SageMaker gets."""
        path = self.base / "output" / "failure"
        return path.read_text() if path.exists() else ""

    @property
    def result(self) -> dict[str, Any]:
        """Return what the job tells at its end."""
        return json.loads(self.bucket.objects[f"{REPORT}result.json"])

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """Return what was measured."""
        return [json.loads(each) for each in self.bucket.text(f"{REPORT}metrics.jsonl").splitlines()]

    def report(self, name: str) -> bytes:
        """Return a file of the report."""
        return self.bucket.objects[f"{REPORT}{name}"]


def done(
    image: Built,
    base: Path,
    *,
    stop: Callable[[str], bool] | None = None,
    prepare: Callable[[Bucket], None] | None = None,
) -> Done:
    """Run a job to its end, or send SIGTERM when *stop* says so of its log."""
    log = base / "log"
    with buckets.opened() as bucket:
        if prepare:
            prepare(bucket)
        process = image.start("train", base, log, **bucket.variables)
        try:
            if stop:
                wait_for(lambda: stop(log.read_text()) or process.poll() is not None, 300)
                process.send_signal(signal.SIGTERM)
            code = process.wait(240)
        finally:
            process.kill()
            process.wait()
    return Done(base, code, log.read_text(), bucket)


def tensors(body: bytes) -> tuple[dict[str, dict[str, Any]], dict[str, str], bytes]:
    """Read a .safetensors file: its tensors' types and shapes, its metadata, and what follows the header."""
    length = int.from_bytes(body[:8], "little")
    table = json.loads(body[8 : 8 + length])
    return table, table.pop("__metadata__", {}), body[8 + length :]
