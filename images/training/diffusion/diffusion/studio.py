"""From a task to its answer: the checkpoint and its extras at hand, one painter at work."""

import gc
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import diffusers
import torch

from diffusion import embeddings, infotext, inpainting, memory, pictures
from diffusion.blending import Blend, Wanted
from diffusion.cache import Cache, Checkpoint
from diffusion.errors import Invalid, Stopped
from diffusion.infotext import Maker
from diffusion.inpainting import Canvas
from diffusion.models import Model, Models
from diffusion.painter import Painter
from diffusion.params import Wish
from diffusion.tasks import Task

VERSION = f"diffusers {diffusers.__version__}"
#: As much of a digest as the WebUI shows of a VAE or an embedding.
SHOWN = 10

IsOver = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class Files:
    """What a task needs, on disk."""

    checkpoint: Checkpoint
    loras: Sequence[Wanted]
    vae: Checkpoint | None
    embeddings: Sequence[Checkpoint]


class Studio:
    """Answers tasks. Checkpoints are fetched by whoever asks; one thread alone loads and paints."""

    def __init__(self, cache: Cache, models: Models) -> None:
        self._cache, self._models, self._blend = cache, models, Blend()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="painter")

    def answer(self, task: Task, is_over: IsOver) -> dict[str, Any]:
        """Paint what a task wishes; give up as soon as it is over."""
        wish = task.wish
        start = None if wish.picture is None else _canvas(wish, wish.picture)
        with ExitStack() as leases:
            files = self._fetched(task, leases)
            return self._worker.submit(self._paint, task, files, start, is_over).result()

    def close(self) -> None:
        """Let go of what is being fetched."""
        self._cache.close()

    def _fetched(self, task: Task, leases: ExitStack) -> Files:
        """Hold every file of a task on disk until its leases end."""
        loras = [leases.enter_context(self._cache.lease(each)) for each in task.loras]
        return Files(
            checkpoint=leases.enter_context(self._cache.lease(task.source)),
            loras=[Wanted(file=file, use=use) for file, use in zip(loras, task.wish.loras, strict=True)],
            vae=leases.enter_context(self._cache.lease(task.vae)) if task.vae else None,
            embeddings=[leases.enter_context(self._cache.lease(each)) for each in task.embeddings],
        )

    def _paint(self, task: Task, files: Files, start: Canvas | None, is_over: IsOver) -> dict[str, Any]:
        if is_over():
            raise Stopped("nobody waits for these images any more")
        try:
            return self._painted(task, files, start, is_over)
        except (MemoryError, RuntimeError) as error:
            if not memory.ran_out(error):
                raise
        # only here has the error let go of what was computed so far
        self._make_room()
        raise Invalid(f"{task.wish.width}x{task.wish.height} needs more memory than this machine has")

    def _painted(self, task: Task, files: Files, start: Canvas | None, is_over: IsOver) -> dict[str, Any]:
        wish, model = task.wish, self._models.get(files.checkpoint)
        loras = self._blend.become(model, files.loras)
        if files.vae:
            model = replace(model, vae=self._models.vae(files.vae))
        painter = Painter(model, wish, start, is_over, _vectors(model, files.embeddings))
        maker = _maker(files, loras, painter.learned)
        images = [
            pictures.encode(painter.paint(seed), infotext.text(wish, seed, maker)) for seed in wish.seeds
        ]
        info = infotext.info(wish, maker, time.strftime("%Y%m%d%H%M%S"))
        return {"id": task.id, "images": images, "parameters": task.told(), "info": info}

    def _make_room(self) -> None:
        """Forget all that is loaded: the next task may need less, and finds as much room as there is."""
        sys.stdout.write("out of memory: forgetting what is loaded\n")
        self._blend = Blend()
        self._models.clear()
        gc.collect()


def _vectors(model: Model, files: Sequence[Checkpoint]) -> dict[str, torch.Tensor]:
    width = model.text.config.hidden_size
    return {each.name: embeddings.read(each.name, each.path, width) for each in files}


def _maker(files: Files, loras: Sequence[tuple[str, str]], learned: Sequence[str]) -> Maker:
    """Say what made the images."""
    shown = {each.name: each.sha256[:SHOWN] for each in files.embeddings}
    return Maker(
        model=files.checkpoint.name,
        sha256=files.checkpoint.sha256,
        version=VERSION,
        vae=(f"{files.vae.name}.safetensors", files.vae.sha256[:SHOWN]) if files.vae else None,
        loras=tuple(loras),
        embeddings=tuple((name, shown[name]) for name in learned),
    )


def _canvas(wish: Wish, picture: str) -> Canvas:
    """Read what img2img starts from, with its mask."""
    if wish.masking is None:
        return Canvas(pixels=pictures.decode(picture, wish.width, wish.height))
    mask = pictures.read_mask(wish.masking.mask, rounded=wish.masking.rounded)
    return inpainting.prepare(pictures.read(picture), mask, wish.masking, (wish.width, wish.height))
