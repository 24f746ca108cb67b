"""The artist's own work: pictures become a dataset, a LoRA learns from them, and two checkpoints become one.

Like the rest of the demo, it looks at what is there already and goes on from there.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from atelier.client import checkpoints
from atelier.client.errors import Problem
from atelier.waiting import settle

if TYPE_CHECKING:
    from atelier.artist import View
    from atelier.client.checkpoints import Checkpoint
    from atelier.client.middleware import Api
    from atelier.demo import Clock

DATASET, LORA, MERGED = "sunsets", "sunset", "tiny-merged"
PICTURES, SIDE = 8, 64
CAPTION = "a sunset over the sea"
ENDS = frozenset({"Completed", "Failed", "Stopped"})
#: Half a minute of a processor's work: the tiny checkpoint learns fast, and little.
CONFIG: Mapping[str, Any] = {
    "output_name": LORA,
    "resolution": SIDE,
    "min_bucket_reso": SIDE,
    "network_dim": 8,
    "learning_rate": 5e-3,
    "train_batch_size": 4,
    "max_train_epochs": 15,
    "sample_prompts": CAPTION,
    "sample_steps": 4,
}


@dataclass(frozen=True, kw_only=True)
class Made:
    """What the artist made, by the names of its checkpoints."""

    dataset: str
    lora: str
    lora_id: str
    merged: str
    merged_id: str

    def models(self) -> dict[str, list[str]]:
        """Return what a picture that is made with both names."""
        return {"Stable-diffusion": [self.merged], "Lora": [self.lora]}

    def document(self) -> dict[str, Any]:
        """Return the members of the demo's JSON object."""
        return {
            "dataset_name": self.dataset,
            "lora_checkpoint_id": self.lora_id,
            "merged_checkpoint_id": self.merged_id,
        }


def make(api: Api, first: Checkpoint, second: Checkpoint, instance: str, view: View, clock: Clock) -> Made:
    """Learn a LoRA for the first checkpoint, and merge both."""
    with clock.timed("dataset"):
        _gather(api, view)
    with clock.timed("LoRA"), view.during(f"A LoRA learns from {PICTURES} pictures"):
        lora = _learnt(api, first, instance, view)
    with clock.timed("merge"), view.during(f"{first.name} and {second.name} are being merged"):
        merged = _merged(api, first, second, view)
    return Made(
        dataset=DATASET, lora=f"{LORA}.safetensors", lora_id=lora, merged=_file(MERGED), merged_id=merged
    )


def _file(name: str) -> str:
    return f"{name}.safetensors"


def _gather(api: Api, view: View) -> None:
    """Draw pictures and upload them with their captions, unless they were before."""
    found = {
        each["datasetName"]: each["status"] for each in api.call("GET", "datasets?limit=100")["datasets"]
    }
    if found.get(DATASET) != "Enabled":
        files = dict(_files())
        content = [{"filename": each, "type": "text" if each.endswith(".txt") else "image"} for each in files]
        wanted = {"dataset_name": DATASET, "content": content, "creator": api.username, "prefix": ""}
        links = api.call("POST", "datasets", wanted)["s3PresignUrl"]
        for name, body in files.items():
            checkpoints.put(links[name], body)
        api.call("PUT", f"datasets/{DATASET}", {"status": "Enabled"})
    said = "there already" if found.get(DATASET) == "Enabled" else "uploaded"
    view.step(f"Dataset {DATASET}, {PICTURES} drawn pictures with captions: {said}")


def _files() -> Iterator[tuple[str, bytes]]:
    for number in range(PICTURES):
        yield f"{number}.png", sunset(number)
        yield f"{number}.txt", CAPTION.encode()


def sunset(number: int) -> bytes:
    """Draw a sun over the sea, a little lower each time, as a PNG."""
    low, lines = SIDE // 4 + 2 * number, []
    for y in range(SIDE):
        line = bytearray()
        for x in range(SIDE):
            is_sun = (x - SIDE // 2) ** 2 + (y - low) ** 2 < (SIDE // 6) ** 2
            sky = (255, 230, 120) if is_sun else (255 - 2 * y, 120 - y, 60 + y)
            line += bytes(sky if y < 2 * SIDE // 3 else (20, 40, 90 + y))
        lines.append(b"\0" + bytes(line))
    size = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*each) for each in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _learnt(api: Api, model: Checkpoint, instance: str, view: View) -> str:
    """Return the id of the LoRA, trained unless it is there."""
    if there := _named(api, "Lora", _file(LORA)):
        view.step(f"LoRA {LORA} is there already")
        return there
    trained = {
        "training_instance_type": instance,
        "model": model.name,
        "dataset": DATASET,
        "fm_type": "sd_1_5",
    }
    params = {"training_params": trained, "config_params": dict(CONFIG)}
    id = api.call("POST", "trainings", {"lora_train_type": "kohya", "params": params})["id"]
    found = _ended(api, f"trainings/{id}", "job_status")
    losses = [each["loss"] for each in found["metrics"]]
    view.step(f"LoRA {LORA} is trained: loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    return str(found["checkpoint_id"])


def _merged(api: Api, first: Checkpoint, second: Checkpoint, view: View) -> str:
    """Return the id of the merge of both checkpoints, made unless it is there."""
    if there := _named(api, "Stable-diffusion", _file(MERGED)):
        view.step(f"Checkpoint {_file(MERGED)} is there already")
        return there
    wanted = {
        "method": "weighted_sum",
        "checkpoints": [first.name, second.name],
        "multiplier": 0.3,
        "output_name": MERGED,
    }
    id = api.call("POST", "merges", wanted)["merge"]["id"]
    found = _ended(api, f"merges/{id}", "status")
    view.step(f"{first.name} and {second.name} are merged: {_file(MERGED)}")
    return str(found["checkpoint_id"])


def _named(api: Api, type: str, name: str) -> str | None:
    query = urlencode({"types": type, "status": "Active", "per_page": 200})
    found = api.call("GET", f"checkpoints?{query}")["checkpoints"]
    return next((str(each["id"]) for each in found if name in each["name"]), None)


def _ended(api: Api, path: str, status: str) -> dict[str, Any]:
    """Wait until a job has ended, well; raise Problem with its reason if it did not."""
    settle(lambda: api.call("GET", path)[status] in ENDS, f"{path} to end")
    found: dict[str, Any] = api.call("GET", path)
    if found[status] != "Completed":
        raise Problem(f"{path} {found[status].lower()}: {found.get('error') or 'no reason given'}")
    return found
