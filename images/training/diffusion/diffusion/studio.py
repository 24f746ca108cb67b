"""From a task to its answer: the checkpoint at hand, one painter at work."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import diffusers
import torch

from diffusion import infotext, inpainting, pictures
from diffusion.cache import Cache, Checkpoint
from diffusion.errors import Invalid, Stopped
from diffusion.infotext import Maker
from diffusion.inpainting import Canvas
from diffusion.models import Models
from diffusion.painter import Painter
from diffusion.params import Wish
from diffusion.tasks import Task

VERSION = f"diffusers {diffusers.__version__}"


class Studio:
    """Answers tasks. Checkpoints are fetched by whoever asks; one thread alone loads and paints."""

    def __init__(self, cache: Cache, models: Models) -> None:
        self._cache, self._models = cache, models
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="painter")

    def answer(self, task: Task, is_over: Callable[[], bool]) -> dict[str, Any]:
        """Paint what a task wishes; give up as soon as it is over."""
        wish = task.wish
        start = None if wish.picture is None else _canvas(wish, wish.picture)
        with self._cache.lease(task.source) as checkpoint:
            return self._worker.submit(self._paint, task, checkpoint, start, is_over).result()

    def close(self) -> None:
        """Let go of what is being fetched."""
        self._cache.close()

    def _paint(
        self, task: Task, checkpoint: Checkpoint, start: Canvas | None, is_over: Callable[[], bool]
    ) -> dict[str, Any]:
        if is_over():
            raise Stopped("nobody waits for these images any more")
        wish = task.wish
        maker = Maker(model=checkpoint.name, sha256=checkpoint.sha256, version=VERSION)
        try:
            painter = Painter(self._models.get(checkpoint), wish, start, is_over)
            images = [
                pictures.encode(painter.paint(seed), infotext.text(wish, seed, maker)) for seed in wish.seeds
            ]
        except torch.OutOfMemoryError:
            raise Invalid(f"{wish.width}x{wish.height} needs more memory than this machine has") from None
        info = infotext.info(wish, maker, time.strftime("%Y%m%d%H%M%S"))
        return {"id": task.id, "images": images, "parameters": task.told(), "info": info}


def _canvas(wish: Wish, picture: str) -> Canvas:
    """Read what img2img starts from, with its mask."""
    if wish.masking is None:
        return Canvas(pixels=pictures.decode(picture, wish.width, wish.height))
    mask = pictures.read_mask(wish.masking.mask, rounded=wish.masking.rounded)
    return inpainting.prepare(pictures.read(picture), mask, wish.masking, (wish.width, wish.height))
