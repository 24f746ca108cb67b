"""One image from a wish: conditioning, noise, the sampler's steps, pixels.

Images are painted one by one, each from noise of its own seed made on the CPU: an image depends neither on
its neighbours nor, but for rounding, on the machine.
"""

from collections.abc import Callable, Mapping
from typing import Any

import diffusers
import torch

from diffusion.conditioning import Reader
from diffusion.configs import NOISE, REDUCTION, SCALE
from diffusion.errors import Invalid, Stopped
from diffusion.inpainting import Canvas
from diffusion.layout import LATENT
from diffusion.masks import NOISE as LATENT_NOISE
from diffusion.masks import NOTHING
from diffusion.models import Model
from diffusion.params import Wish
from diffusion.pictures import Pixels
from diffusion.samplers import Choice

#: The WebUI takes this much of a picture at most, so that noise is always added to it.
STRONGEST = 0.999


class Painter:
    """What all images of one wish share."""

    def __init__(
        self,
        model: Model,
        wish: Wish,
        canvas: Canvas | None,
        is_over: Callable[[], bool],
        vectors: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self._model, self._wish, self._is_over = model, wish, is_over
        reader = Reader(model, wish.clip_skip, vectors)
        with torch.inference_mode():
            self._wanted = reader.meaning(wish.words)
            self._unwanted = reader.meaning(wish.negative_prompt)
            self._canvas = canvas
            self._start = None if canvas is None else self._encoded(canvas.pixels)
            self._new = None if canvas is None or canvas.mask is None else self._reduced(canvas)
        #: The learned words that the prompts hold.
        self.learned = reader.used

    @torch.inference_mode()
    def paint(self, seed: int) -> Pixels:
        """Paint the image of *seed*."""
        wish, place = self._wish, self._model.place
        random = torch.Generator("cpu").manual_seed(seed)
        shape = (1, LATENT, wish.height // REDUCTION, wish.width // REDUCTION)
        noise = torch.randn(shape, generator=random).to(place.device)
        scheduler, times = schedule(wish)
        start = self._begun(noise)
        if start is None:
            latents = noise * scheduler.init_noise_sigma
        else:
            latents = scheduler.add_noise(start, noise, times[:1])
        keywords = {"generator": random} if _is_random(scheduler) else {}
        for number, time in enumerate(times):
            if self._is_over():
                raise Stopped("nobody waits for these images any more")
            direction = self._direction(scheduler.scale_model_input(latents, time), time)
            latents = scheduler.step(direction, time, latents, **keywords).prev_sample
            if self._new is not None and start is not None:
                after = times[number + 1 : number + 2]
                kept = scheduler.add_noise(start, noise, after) if len(after) else start
                latents = self._new * latents + (1 - self._new) * kept
        painted = self._decoded(latents)
        return painted if self._canvas is None else self._canvas.finished(painted)

    def _begun(self, noise: torch.Tensor) -> torch.Tensor | None:
        """Return what the image starts from: under a mask perhaps noise alone, or nothing."""
        if self._start is None or self._new is None or self._canvas is None:
            return self._start
        if self._canvas.content == LATENT_NOISE:
            return (1 - self._new) * self._start + self._new * noise
        return (1 - self._new) * self._start if self._canvas.content == NOTHING else self._start

    def _reduced(self, canvas: Canvas) -> torch.Tensor:
        """Return how new each latent is to be."""
        mask = torch.from_numpy(canvas.mask)[None, None].to(self._model.place.device)
        size = (self._wish.height // REDUCTION, self._wish.width // REDUCTION)
        reduced = torch.nn.functional.interpolate(mask, size=size, mode="area")
        return reduced.round() if canvas.rounded else reduced

    def _direction(self, latents: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Predict the noise: what the prompt says, as far away from the negative prompt as was asked."""
        wanted = self._predicted(latents, time, self._wanted)
        if self._wish.cfg_scale == 1:
            return wanted
        unwanted = self._predicted(latents, time, self._unwanted)
        return unwanted + self._wish.cfg_scale * (wanted - unwanted)

    def _predicted(self, latents: torch.Tensor, time: torch.Tensor, meaning: torch.Tensor) -> torch.Tensor:
        answer = self._model.unet(
            latents.to(self._model.place.dtype), time, encoder_hidden_states=meaning, return_dict=False
        )
        predicted: torch.Tensor = answer[0].float()
        return predicted

    def _encoded(self, picture: Pixels) -> torch.Tensor:
        pixels = torch.from_numpy(picture).to(self._model.place.device).permute(2, 0, 1)[None]
        latents: torch.Tensor = self._model.vae.encode(pixels / 127.5 - 1).latent_dist.mode()
        return latents * SCALE

    def _decoded(self, latents: torch.Tensor) -> Pixels:
        pixels = self._model.vae.decode(latents / SCALE, return_dict=False)[0][0]
        if not bool(pixels.isfinite().all()):
            raise Invalid("the checkpoint painted what is no image (not a number): its weights may be broken")
        levels = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        image: Pixels = levels.permute(1, 2, 0).cpu().numpy()
        return image


def schedule(wish: Wish) -> tuple[Any, torch.Tensor]:
    """Make the sampler of a wish and the times it visits; img2img starts late, as the WebUI does."""
    scheduler = make(wish.choice)
    scheduler.set_timesteps(wish.steps)
    if wish.denoising_strength is None:
        return scheduler, scheduler.timesteps
    kept = int(min(wish.denoising_strength, STRONGEST) * wish.steps) + 1
    begin = max(0, wish.steps - kept) * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    return scheduler, scheduler.timesteps[begin:]


def make(choice: Choice) -> Any:
    """Make diffusers' scheduler of a choice."""
    return getattr(diffusers, choice.kind)(**{**NOISE, **choice.options})


def _is_random(scheduler: Any) -> bool:
    """Say whether the sampler adds noise of its own; then it takes ours."""
    return "generator" in type(scheduler).step.__annotations__
