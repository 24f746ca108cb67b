"""History: what this WebUI asked for, by job; the cloud does not tell it of a job that failed."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from atelier_webui import private
from atelier_webui.forms import Form

if TYPE_CHECKING:
    from atelier_webui.contract.api.endpoints import EndpointType

MOST = 500
MOST_BYTES = 256 * 1024 * 1024
LARGEST = 24 * 1024 * 1024
"""Jobs that are remembered, bytes of them all, and characters of one."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Where a form is to be made, with which checkpoint and VAE; whatever there is when they are empty."""

    endpoint: str = ""
    checkpoint: str = ""
    kind: EndpointType = "Async"
    vae: str = ""


class History:
    """A folder of its owner's with a file for each job; any thread may call it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, id: str, form: Form, choice: Choice) -> None:
        """Remember a job; the oldest are forgotten when there are many.

        A job runs already when it is remembered: a full disk must not make it look as if it did not.
        """
        text = json.dumps(
            {"task": form.task, "payload": dict(form.payload), "choice": asdict(choice)}, ensure_ascii=False
        )
        if len(text) > LARGEST:
            return
        with suppress(OSError, ValueError):
            private.write(self._path(id), text)
            self._forget()

    def find(self, id: str) -> tuple[Form, Choice] | None:
        """Return what was asked for; None when this WebUI did not, or has forgotten."""
        try:
            kept: dict[str, Any] = json.loads(private.read(self._path(id)))
            return Form(task=kept["task"], payload=kept["payload"]), Choice(**kept["choice"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _path(self, id: str) -> Path:
        """Return a job's file; a name that is no job's is no path either."""
        return self.folder / f"{UUID(id)}.json"

    def _forget(self) -> None:
        found = [(each.stat(), each) for each in self.folder.glob("*.json")]
        found.sort(key=lambda each: each[0].st_mtime_ns, reverse=True)
        total = 0
        for number, (state, path) in enumerate(found, start=1):
            total += state.st_size
            if number > MOST or total > MOST_BYTES:
                path.unlink(missing_ok=True)
