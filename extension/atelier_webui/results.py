"""Results: the images of a job and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from atelier_webui.client import Client
from atelier_webui.contract.api.inferences import InferenceDetail

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image; *infotext* is what the WebUI writes into a PNG."""

    image: Image
    infotext: str
    seed: int
    subseed: int
    prompt: str
    negative_prompt: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """The images of a request, in order; *info* is the first job's own, *comment* what else is to be said."""

    pictures: tuple[Picture, ...]
    info: Mapping[str, Any] = field(default_factory=dict)
    jobs: tuple[str, ...] = ()
    comment: str = ""


def fetch(job: InferenceDetail, client: Client) -> Result:
    """Return the images of a job that succeeded; raise Misunderstood when one of them is no image."""
    raise NotImplementedError


def thumbnail(job: InferenceDetail, client: Client, *, size: int = 256) -> Image | None:
    """Return a job's first image, made small; None when it has none."""
    raise NotImplementedError
