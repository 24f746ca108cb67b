"""The WebUI's form as the parameters of its own API: what was asked for, in the words of `sdapi`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from atelier_webui.abilities import OWN_IMAGE

Task = Literal["txt2img", "img2img"]


@dataclass(frozen=True, kw_only=True)
class Form:
    """What was asked for; *payload* holds what is not left as the API has it by itself."""

    task: Task
    payload: Mapping[str, Any]

    @property
    def count(self) -> int:
        """Return how many images are asked for."""
        raise NotImplementedError


def read(
    processing: Any,
    args: Sequence[Any] = (),
    *,
    own: Sequence[str] = ("Atelier",),
    abilities: frozenset[str] = OWN_IMAGE,
    draw: Callable[[], int] | None = None,
) -> Form:
    """Return the form behind a StableDiffusionProcessing and its scripts' *args*.

    *own* are the titles of the scripts that are not to be refused. Raise Unsupported with the name of each
    thing that the cloud cannot do. The seeds are drawn here when they are not given, so that they are known.
    """
    raise NotImplementedError
