"""The one wrap of this extension: `ScriptRunner.run`, which the WebUI asks before it makes images by itself.

The WebUI calls `run` for every txt2img and img2img from its page, and makes the images here only when nothing
comes back. Scripts have no other say in that: what their hooks raise is swallowed, and what they return is
dropped. The wrap is on the class, holds no state, is put on once however often scripts are loaded, and does
nothing at all unless the accordion of this very request is on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Protocol

_MARK = "_atelier_webui_asks_first"


class CloudScript(Protocol):
    """A script that may make the images in another place."""

    makes_images_elsewhere: bool

    def is_wanted(self, runner: Any, args: Sequence[Any]) -> bool:
        """Say whether these arguments ask for it."""
        ...

    def make(self, p: Any, args: Sequence[Any]) -> Any:
        """Return the WebUI's Processed."""
        ...


def find(runner: Any) -> CloudScript | None:
    """Return the runner's own script of ours; None when there is none."""
    return next(
        (each for each in runner.alwayson_scripts if getattr(each, "makes_images_elsewhere", False)), None
    )


def install(runner_class: Any) -> None:
    """Let a ScriptRunner ask our script first; once is enough."""
    if getattr(runner_class, _MARK, False):
        return
    runner_class.run = _asking_first(runner_class.run)
    setattr(runner_class, _MARK, True)


def _asking_first(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def run(self: Any, p: Any, *args: Any) -> Any:
        script = find(self)
        if script is None or not script.is_wanted(self, args):
            return original(self, p, *args)
        return script.make(p, args)

    return run
