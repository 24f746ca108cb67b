"""How high the learning rate is at each step, as a share of what was asked for."""

import math

from diffusion.recipe import Recipe


def share(recipe: Recipe, step: int, steps: int) -> float:
    """Return the share of the learning rate at *step*, which counts from 0."""
    if recipe.lr_scheduler == "constant":
        return 1.0
    warmup = min(recipe.lr_warmup_steps, steps)
    if step < warmup:
        return (step + 1) / warmup
    if recipe.lr_scheduler == "constant_with_warmup":
        return 1.0
    done = (step - warmup) / max(1, steps - warmup)
    if recipe.lr_scheduler == "linear":
        return 1.0 - done
    cycles = recipe.lr_scheduler_num_cycles if recipe.lr_scheduler == "cosine_with_restarts" else 1
    return 0.5 * (1 + math.cos(math.pi * (done * cycles % 1.0)))
