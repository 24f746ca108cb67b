"""What a training makes small: how wrong the network is about the noise that was added to an image."""

import torch
from diffusers import DDPMScheduler

from diffusion.configs import NOISE
from diffusion.models import Model
from diffusion.recipe import Recipe


def loss(
    model: Model, clean: torch.Tensor, meaning: torch.Tensor, recipe: Recipe, random: torch.Generator
) -> torch.Tensor:
    """Add noise, ask the network for it, and return the mean square error; *random* draws everything."""
    noise = torch.randn(clean.shape, generator=random)
    if recipe.noise_offset:
        noise = noise + recipe.noise_offset * torch.randn((*clean.shape[:2], 1, 1), generator=random)
    times = torch.randint(NOISE["num_train_timesteps"], (len(clean),), generator=random)
    noisy = DDPMScheduler(**NOISE).add_noise(clean, noise, times)
    place = model.place
    seen = model.unet(
        noisy.to(place.device, place.dtype),
        times.to(place.device),
        encoder_hidden_states=meaning.to(place.dtype),
        return_dict=False,
    )[0]
    errors = (seen.float() - noise.to(place.device)).square().mean(dim=(1, 2, 3))
    return (errors * _weights(times, recipe.min_snr_gamma).to(place.device)).mean()


def _weights(times: torch.Tensor, gamma: float) -> torch.Tensor:
    """Return the weight of each time: 1, or as "Min-SNR" has it."""
    if not gamma:
        return torch.ones(len(times))
    kept = DDPMScheduler(**NOISE).alphas_cumprod[times]
    ratio = kept / (1 - kept)
    return ratio.clamp(max=gamma) / ratio
