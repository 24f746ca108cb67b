"""Results: the images of a job and what is told of them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from atelier_webui.client import Client
from atelier_webui.errors import Misunderstood, Problem
from atelier_webui.forms import Form

if TYPE_CHECKING:
    from PIL.Image import Image

    from atelier_webui.contract.api.inferences import InferenceDetail

FORMATS = ("PNG", "JPEG", "WEBP")


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


def fetch(job: InferenceDetail, client: Client, form: Form | None = None) -> Result:
    """Return the images of a job that succeeded; raise Misunderstood when one of them is no image.

    What the cloud does not tell of them, the *form* does that the job was asked.
    """
    if not job.img_presigned_urls:
        raise Misunderstood(f"job {job.InferenceJobId} succeeded without an image")
    info = _info(job, client)
    asked = form.payload if form else {}
    pictures = tuple(
        _picture(
            opened(client.get(link), f"image {number + 1} of job {job.InferenceJobId}"), number, info, asked
        )
        for number, link in enumerate(job.img_presigned_urls)
    )
    return Result(pictures=pictures, info=info, jobs=(job.InferenceJobId,))


def thumbnail(job: InferenceDetail, client: Client, *, size: int = 256) -> Image | None:
    """Return a job's first image, made small; None when it has none."""
    if not job.img_presigned_urls:
        return None
    image = opened(client.get(job.img_presigned_urls[0]), f"the image of job {job.InferenceJobId}")
    image.thumbnail((size, size))
    return image


def infotext(job: InferenceDetail, client: Client) -> str:
    """Return how a job's first image was made; raise Problem when nothing tells."""
    texts = _info(job, client).get("infotexts")
    if isinstance(texts, list) and texts and isinstance(texts[0], str):
        return texts[0]
    if not job.img_presigned_urls:
        raise Problem(f"What job {job.InferenceJobId} was asked is not known here.")
    what = f"the image of job {job.InferenceJobId}"
    return _written(opened(client.get(job.img_presigned_urls[0]), what))


def _info(job: InferenceDetail, client: Client) -> Mapping[str, Any]:
    """Return what the cloud told beside the images: JSON whose member `info` is JSON in a text."""
    if not job.output_presigned_urls:
        return {}
    try:
        told = json.loads(json.loads(client.get(job.output_presigned_urls[0]))["info"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def opened(body: bytes, what: str) -> Image:
    """Return the image in a *body*, all of it read; raise Misunderstood, naming *what* it should be."""
    from PIL import Image as images

    try:
        with images.open(io.BytesIO(body), formats=FORMATS) as image:
            image.load()
            return image.copy()
    except (OSError, SyntaxError, ValueError, images.DecompressionBombError):
        raise Misunderstood(f"{what} is no image that can be read") from None


def _picture(image: Image, number: int, info: Mapping[str, Any], asked: Mapping[str, Any]) -> Picture:
    varies = "subseed_strength" in asked
    return Picture(
        image=image,
        infotext=_at(info.get("infotexts"), number, str, _written(image)),
        seed=_at(info.get("all_seeds"), number, int, asked.get("seed", -1) + (0 if varies else number)),
        subseed=_at(info.get("all_subseeds"), number, int, asked.get("subseed", -1)),
        prompt=_at(info.get("all_prompts"), number, str, asked.get("prompt", "")),
        negative_prompt=_at(info.get("all_negative_prompts"), number, str, asked.get("negative_prompt", "")),
    )


def _written(image: Image) -> str:
    """Return the infotext that a PNG holds."""
    found = getattr(image, "text", None) or image.info
    text = found.get("parameters", "")
    return text if isinstance(text, str) else ""


def _at(values: Any, number: int, kind: type[Any], instead: Any) -> Any:
    """Return a value of a list that the cloud told, if it is there and of its kind."""
    if isinstance(values, list) and number < len(values) and isinstance(values[number], kind):
        return values[number]
    return instead
