"""The entry point: `ui` for people; `serve`, which SageMaker appends to it; and `train`, which is refused."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from webui_image.settings import Failure, Settings

#: SageMaker cuts a failure reason here.
REASON_LENGTH = 1024
NO_TRAINING = "this container serves only: it trains nothing. Start it as an endpoint (serve)"


def main(arguments: Sequence[str], base: Path) -> int:
    """Run a verb; a failure is one line that says what to do."""
    parser = argparse.ArgumentParser(prog="python -m webui_image")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("ui", help="the WebUI for people, behind its own login")
    verbs.add_parser("serve", help="answer SageMaker's /ping and /invocations")
    verbs.add_parser("train", help="refused: this container serves only")
    verb = parser.parse_args(arguments).verb
    try:
        if verb == "train":
            return refuse(base / "output" / "failure")
        settings = Settings.read(os.environ)
        if verb == "ui":
            from webui_image import ui

            return ui.run(settings)
        sys.path.append(settings.face_packages)
        from webui_image import face

        return face.serve(settings)
    except (Failure, OSError) as error:
        sys.stderr.write(f"failed: {error}\n")
        return 1


def refuse(failure: Path) -> int:
    """Leave SageMaker the reason why nothing is trained."""
    sys.stderr.write(f"failed: {NO_TRAINING}\n")
    failure.parent.mkdir(parents=True, exist_ok=True)
    failure.write_text(NO_TRAINING[:REASON_LENGTH], encoding="utf-8")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))))
