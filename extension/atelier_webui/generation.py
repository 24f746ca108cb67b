"""Generation: a form goes to the cloud, and its images come back, while somebody watches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from atelier_webui.jobs import Choice, Jobs
from atelier_webui.parameters import Form
from atelier_webui.results import Result


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far it is: words for the progress bar, how many images there are, and of how many."""

    text: str
    done: int = 0
    total: int = 1


class Watch(Protocol):
    """Who watches: the WebUI's shared state; asked five times a second, by the thread of `generate`."""

    def interrupted(self) -> bool:
        """Say whether Interrupt was asked for."""
        ...

    def skipped(self) -> bool:
        """Say whether Skip was asked for since this was last called, and forget it."""
        ...

    def show(self, progress: Progress) -> None:
        """Show how far it is."""
        ...


def generate(form: Form, choice: Choice, *, jobs: Jobs, watch: Watch) -> Result:
    """Have a form made and return its images.

    Interrupt cancels what is not finished and returns what is; Skip cancels the part that is waited for. A
    lost connection is waited for. Raise JobFailed with the cloud's reason.
    """
    raise NotImplementedError
