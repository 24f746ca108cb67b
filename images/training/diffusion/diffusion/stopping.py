"""SageMaker's request to stop: SIGTERM, then two minutes until SIGKILL."""

import signal
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stopping:
    """Whether the job was asked to stop; whoever works long looks between two steps."""

    requested: bool = False

    @classmethod
    def on_sigterm(cls) -> "Stopping":
        """Listen for SIGTERM from now on; the first process of a container dies of no signal it ignores."""
        stopping = cls()

        def request(signum: int, frame: FrameType | None) -> None:
            stopping.requested = True

        signal.signal(signal.SIGTERM, request)
        return stopping
