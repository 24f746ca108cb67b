"""The entry point that SageMaker calls: `serve`; and `tiny`, which makes a checkpoint to try it with."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

#: SageMaker cuts a failure reason here.
REASON_LENGTH = 1024
NO_TRAINING = "this container serves only: it trains nothing. Start it as an endpoint (serve)"


def main(arguments: Sequence[str], base: Path) -> int:
    """Run the verb that SageMaker appended to the entry point."""
    # Idle threads that spin take the cores from those that work. It is read once, when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    parser = argparse.ArgumentParser(prog="python -m diffusion")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="answer SageMaker's /ping and /invocations")
    verbs.add_parser("train", help="refused: this container serves only")
    tiny = verbs.add_parser("tiny", help="write a random Stable Diffusion of a few MB")
    tiny.add_argument("out", type=Path, metavar="OUT.safetensors")
    tiny.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    if chosen.verb == "serve":
        from diffusion.server import main as serve

        return serve(os.environ)
    return refuse(base / "output" / "failure") if chosen.verb == "train" else make(chosen.out, chosen.seed)


def refuse(failure: Path) -> int:
    """Leave SageMaker the reason why nothing is trained."""
    sys.stderr.write(f"failed: {NO_TRAINING}\n")
    failure.parent.mkdir(parents=True, exist_ok=True)
    failure.write_text(NO_TRAINING[:REASON_LENGTH], encoding="utf-8")
    return 1


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
