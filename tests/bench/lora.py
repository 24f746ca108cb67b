"""How much a LoRA learns in a minute: the loss at the beginning and the end of a training, and what it cost.

    python tests/bench/lora.py [--steps 240]

It trains on the tiny checkpoint, with the image as the process engine builds it, as SageMaker would. Counted
is the CPU time of the whole container, torch's import included, so that other work on the machine does not
show. It fails when the loss is not halved within 60 seconds of it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
from pathlib import Path

IMAGES = Path(__file__).parents[1] / "images"
sys.path[:0] = [str(IMAGES), str(IMAGES.parents[1] / "images" / "training" / "diffusion")]

import containers  # noqa: E402
import jobs  # noqa: E402

MOST_SECONDS, LEAST = 60.0, 2.0
#: The loss depends on what noise was drawn: it is told as the mean of so many steps.
MEAN_OF = 10
PLAIN = {
    "resolution": 64,
    "save_every_n_epochs": None,
    "network_dim": 8,
    "network_alpha": None,
    "network_dropout": 0,
    "network_train_unet_only": True,
    "learning_rate": 2e-3,
    "caption_dropout_rate": 0,
    "max_train_epochs": 1000,
}


def main(steps: int) -> int:
    """Train, and print what was learned; 1 if it was too little, or took too long."""
    with tempfile.TemporaryDirectory() as folder:
        image = containers.built(Path(folder) / "home", "diffusion")
        base = jobs.training(Path(folder) / "ml", **PLAIN, max_train_steps=steps)
        before = _seconds()
        done = jobs.done(image, base)
        seconds = _seconds() - before
    if done.code:
        sys.stderr.write(done.log)
        return 1
    losses = [each["loss"] for each in done.metrics]
    first, last = statistics.mean(losses[:MEAN_OF]), statistics.mean(losses[-MEAN_OF:])
    sys.stdout.write(
        f"LoRA: loss {first:.3f} -> {last:.3f}, {first / last:.1f} times less, after {steps} steps "
        f"in {seconds:.0f} s of CPU (at least {LEAST:.1f} times less within {MOST_SECONDS:.0f} s)\n"
    )
    return 0 if first / last >= LEAST and seconds <= MOST_SECONDS else 1


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=240)
    sys.exit(main(parser.parse_args().steps))
