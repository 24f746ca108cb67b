"""Forms: what was asked for, in the words of the WebUI's own API, `sdapi`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Task = Literal["txt2img", "img2img"]

MOST_IMAGES = 32
MOST_IN_A_BATCH = 8
MOST_PIXELS = 16 * 1024 * 1024
"""What one job is asked: its answer has at most 64 MiB, and an image at most four bytes a pixel in base64."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """What was asked for; *payload* holds what is not left as the API has it by itself."""

    task: Task
    payload: Mapping[str, Any]

    @property
    def count(self) -> int:
        """Return how many images are asked for."""
        return int(self.payload.get("batch_size", 1)) * int(self.payload.get("n_iter", 1))

    def parts(self) -> list[Form]:
        """Return the forms of the jobs that this one becomes, with the same images in the same order."""
        most = max(1, min(MOST_IMAGES, MOST_PIXELS // self._pixels()))
        batch = min(int(self.payload.get("batch_size", 1)), MOST_IN_A_BATCH, most)
        found: list[Form] = []
        done = 0
        while done < self.count:
            left = min(self.count - done, most)
            size = min(batch, left)
            part = {**self.payload, **self._seeds(done), "batch_size": size, "n_iter": left // size}
            found.append(replace(self, payload=part))
            done += found[-1].count
        return found

    def _seeds(self, offset: int) -> dict[str, int]:
        """Return the seeds of the image at *offset*: with a variation strength, that one's moves."""
        if "subseed_strength" in self.payload:
            return {"subseed": self.payload["subseed"] + offset}
        return {"seed": self.payload["seed"] + offset}

    def _pixels(self) -> int:
        width, height = int(self.payload.get("width", 512)), int(self.payload.get("height", 512))
        if not self.payload.get("enable_hr"):
            return max(1, width * height)
        larger = int(self.payload.get("hr_resize_x") or 0) * int(self.payload.get("hr_resize_y") or 0)
        scale = float(self.payload.get("hr_scale") or 1)
        return max(1, larger, int(width * height * scale * scale))
