"""From a task of the middleware's to its answer, painted by the WebUI with all that it can do."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from diffusion import envelope
from diffusion.cache import Cache, Checkpoint
from diffusion.envelope import Envelope
from diffusion.errors import Invalid, Refused, Stopped
from diffusion.forms import Form

from webui_image.webui import WebUI

CHECKPOINT = "sd_model_checkpoint"
CLIP_SKIP = "CLIP_stop_at_last_layers"
POLL_SECONDS = 0.2
#: Of a form, what would outlive it: pictures that nobody looks at, settings for whoever is next.
LEFT_AS_IT_WAS = {
    "save_images": False,
    "do_not_save_samples": True,
    "do_not_save_grid": True,
    "override_settings_restore_afterwards": True,
}

IsOver = Callable[[], bool]


class Painter:
    """Answers tasks, one at a time: the WebUI has one model in memory."""

    def __init__(self, webui: WebUI, cache: Cache, shown: Path) -> None:
        self._webui, self._cache, self._shown = webui, cache, shown
        self._turn = threading.Lock()

    def answer(self, body: bytes, is_over: IsOver) -> dict[str, Any]:
        """Paint what a body asks for; give up as soon as nobody waits."""
        task = envelope.parse(body)
        form, wanted = _form(task)
        with self._cache.lease(task.chosen(wanted)) as checkpoint, self._alone(is_over):
            form["override_settings"][CHECKPOINT] = self._show(checkpoint)
            made = self._paint(task.task_type, form, is_over)
        told = envelope.told(task.params)
        return {"id": task.id, "images": made["images"], "parameters": told, "info": made["info"]}

    def close(self) -> None:
        """Let go of what is being fetched."""
        self._cache.close()

    @contextlib.contextmanager
    def _alone(self, is_over: IsOver) -> Iterator[None]:
        """Wait for the WebUI, but not longer than somebody waits for us."""
        while not self._turn.acquire(timeout=POLL_SECONDS):
            _refuse_if(is_over)
        try:
            _refuse_if(is_over)
            yield
        finally:
            self._turn.release()

    def _show(self, checkpoint: Checkpoint) -> str:
        """Let the WebUI see a checkpoint by the name that people know; return its title there.

        Two checkpoints may have one name, and pictures tell it: each has a folder of its own.
        """
        for link in self._shown.glob("*/*"):
            if not link.exists():  # the cache has let it go
                link.unlink()
        title = f"{checkpoint.sha256[:16]}/{Path(checkpoint.name).name}{envelope.SUFFIX}"
        link = self._shown / title
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(checkpoint.path)
            self._webui.refresh_checkpoints()
        return title

    def _paint(self, task_type: str, form: dict[str, Any], is_over: IsOver) -> dict[str, Any]:
        """Have it painted, and interrupted when nobody waits any more."""
        done = threading.Event()
        watching = threading.Thread(target=self._interrupt_if, args=(is_over, done), daemon=True)
        watching.start()
        try:
            made = self._webui.paint(task_type, form)
        finally:
            done.set()
            watching.join()
        _refuse_if(is_over)
        return made

    def _interrupt_if(self, is_over: IsOver, done: threading.Event) -> None:
        while not done.wait(POLL_SECONDS):
            if is_over():
                with contextlib.suppress(Refused):
                    self._webui.interrupt()
                return


def _refuse_if(is_over: IsOver) -> None:
    if is_over():
        raise Stopped("nobody waits for these images any more")


def _form(task: Envelope) -> tuple[dict[str, Any], str | None]:
    """Return the form as the WebUI takes it, and the checkpoint that it names."""
    if not isinstance(task.params, dict):
        raise Invalid("params must be a JSON object")
    form = {**task.params, **LEFT_AS_IT_WAS}
    given = form.get("override_settings")
    settings = Form({} if given is None else given, "params.override_settings")
    wanted = settings.text(CHECKPOINT, longest=300, default="") or None
    form["override_settings"] = settings.left()
    skip = form.pop("clip_skip", None)  # as our own clients spell it
    if skip is not None:
        form["override_settings"].setdefault(CLIP_SKIP, skip)
    return form, wanted
