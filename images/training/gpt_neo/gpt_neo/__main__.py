"""The entry point that SageMaker calls, `train` or `serve`; and ECS: `fleet`."""

import os
import sys
import traceback
from pathlib import Path

from gpt_neo import job
from gpt_neo.errors import Failure, Stopped
from gpt_neo.metrics import say
from gpt_neo.stopping import Stopping

#: SIGTERM's conventional code: the job neither failed nor finished, and no model was written.
STOPPED = 143
#: SageMaker cuts a failure reason here.
REASON_LENGTH = 1024


def main(arguments: list[str]) -> int:
    """Run the verb that SageMaker appended to the entry point."""
    # Idle threads that spin take the cores from those that work. It is read once, when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    if arguments == ["train"]:
        return train(base)
    if arguments == ["serve"]:
        from gpt_neo.server import main as serve

        return serve(base, os.environ)
    if arguments == ["fleet"]:
        from gpt_neo.fleet import main as fleet

        return fleet(os.environ)
    sys.stderr.write("usage: python -m gpt_neo train|serve|fleet\n")
    return 2


def train(base: Path) -> int:
    """Train; on failure leave SageMaker its reason and a non-zero code."""
    stopping = Stopping.on_sigterm()
    try:
        job.run(base, stopping)
    except Stopped as stop:
        say(f"stopped: {stop}")
        return STOPPED
    except Exception as error:  # whatever happens, SageMaker gets its reason
        traceback.print_exc()
        reason = str(error) if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
        leave_reason(base / "output" / "failure", reason)
        return 1
    return 0


def leave_reason(path: Path, reason: str) -> None:
    """Write *reason* where SageMaker looks for it, and to the log."""
    sys.stderr.write(f"failed: {reason}\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reason[:REASON_LENGTH], encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
