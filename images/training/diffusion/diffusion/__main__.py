"""What SageMaker calls: `serve` or `train`; and `tiny`, which makes a checkpoint to try them with."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str], base: Path) -> int:
    """Run the verb that SageMaker appended to the entry point."""
    # Idle threads that spin take the cores from those that work. It is read once, when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    parser = argparse.ArgumentParser(prog="python -m diffusion")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="answer SageMaker's /ping and /invocations")
    verbs.add_parser("train", help="do what /opt/ml lays out: train a LoRA, merge, or crop")
    tiny = verbs.add_parser("tiny", help="write a random Stable Diffusion of a few MB")
    tiny.add_argument("out", type=Path, metavar="OUT.safetensors")
    tiny.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    if chosen.verb == "serve":
        from diffusion.server import main as serve

        return serve(os.environ)
    if chosen.verb == "train":
        return train(base)
    return make(chosen.out, chosen.seed)


def train(base: Path) -> int:
    """Do the job that SageMaker laid out in *base*."""
    from diffusion import job, s3
    from diffusion.stopping import Stopping

    return job.main(base, Stopping.on_sigterm(), s3.S3(s3.client()))


def make(out: Path, seed: int) -> int:
    """Write the tiny checkpoint of *seed*."""
    from diffusion import tiny

    try:
        size = tiny.write(out, seed)
    except OSError as error:
        sys.stderr.write(f"failed: {out} cannot be written: {error.strerror}\n")
        return 1
    sys.stdout.write(f"{out}: {size} bytes, seed {seed}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))))
