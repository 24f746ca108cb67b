"""How the learning rate moves."""

import math


def rate(step: int, *, steps: int, peak: float, warmup: float, floor: float) -> float:
    """Return the learning rate of *step*, from 0: a linear rise, then half a cosine to a *floor*."""
    rising = math.ceil(steps * warmup)
    if step < rising:
        return peak * (step + 1) / rising
    done = (step - rising) / max(1, steps - 1 - rising)
    return peak * (floor + (1 - floor) * (1 + math.cos(math.pi * min(1.0, done))) / 2)


def milestones(steps: int, times: int) -> frozenset[int]:
    """Return the steps after which to evaluate: *times* of them, evenly spread, the last step among them."""
    return frozenset(math.ceil(steps * each / times) for each in range(1, times + 1))
