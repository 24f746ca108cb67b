"""Uploads: local files become a checkpoint in the cloud, in parts, several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from atelier_webui.client import Client
from atelier_webui.contract.api.checkpoints import CheckpointType

Show = Callable[[int, int], None]
"""Told the bytes that are there, and of how many; from several threads, but one at a time."""


class Upload:
    """One checkpoint on its way. After a Problem, `run` again goes on where it was cut."""

    def __init__(
        self,
        client: Client,
        paths: Sequence[Path],
        type: CheckpointType,
        *,
        message: str = "",
        show: Show = lambda done, total: None,
    ) -> None:
        raise NotImplementedError

    def run(self) -> str:
        """Upload what is not there yet, and return the checkpoint's id. Raise Stopped after `stop`."""
        raise NotImplementedError

    def stop(self) -> None:
        """Make `run` end soon, from another thread; it can go on later."""
        raise NotImplementedError

    def discard(self) -> None:
        """Delete what was uploaded, so that the name is free again."""
        raise NotImplementedError
