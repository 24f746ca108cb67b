"""Jobs: submitted without waiting, listed, cancelled, done again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from atelier_webui.client import Client
from atelier_webui.contract.api.endpoints import EndpointType
from atelier_webui.contract.api.inferences import Inference
from atelier_webui.parameters import Form

ENDED = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Where a form is to be made, and with which checkpoint; any endpoint that serves when it is empty."""

    endpoint: str = ""
    checkpoint: str = ""
    kind: EndpointType = "Async"


@dataclass(frozen=True, kw_only=True)
class Page:
    """Jobs, the newest first, and the key of the page after."""

    jobs: tuple[Inference, ...]
    next: str | None


class History:
    """What this WebUI asked for, by job, so that it can be asked again; in a folder of its owner's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, id: str, form: Form, choice: Choice) -> None:
        """Remember a job; the oldest are forgotten when there are many."""
        raise NotImplementedError

    def find(self, id: str) -> tuple[Form, Choice] | None:
        """Return what was asked for; None when this WebUI did not, or has forgotten."""
        raise NotImplementedError


class Jobs:
    """The jobs of an account."""

    def __init__(self, client: Client, history: History) -> None:
        self.client = client
        self.history = history

    def submit(self, form: Form, choice: Choice) -> list[str]:
        """Submit a form without waiting for it; a large one becomes several jobs. Return their ids."""
        raise NotImplementedError

    def page(self, task: str, *, status: str = "", limit: int = 20, start: str | None = None) -> Page:
        """Return jobs of a task, of one status if it is named."""
        raise NotImplementedError

    def cancel(self, id: str) -> None:
        """Cancel a job; one that is over is fine."""
        raise NotImplementedError

    def delete(self, *ids: str) -> None:
        """Delete jobs and their images."""
        raise NotImplementedError

    def retry(self, id: str) -> str:
        """Submit again what a job was asked; return the new job's id. Raise Problem when it is not known."""
        raise NotImplementedError

    def infotext(self, id: str) -> str:
        """Return what a job was asked as an infotext, which the WebUI reads into its form."""
        raise NotImplementedError
