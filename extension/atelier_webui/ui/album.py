"""The album: a dataset's images with their captions, a page at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from atelier_webui.calls import Calls
from atelier_webui.datasets import Shelves
from atelier_webui.errors import Problem
from atelier_webui.ui import words
from atelier_webui.ui.cards import cover
from atelier_webui.ui.thumbnails import AT_ONCE, Thumbnails

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from atelier_webui.contract.api.datasets import DatasetDetail, DatasetFile

SHOWN = 48
LONGEST = 400
"""Characters of a caption that are shown."""


class Place(NamedTuple):
    """Where a page begins: a key of the middleware's, and how many images after it."""

    start: str | None
    skipped: int


@dataclass(frozen=True)
class Page:
    """What is seen, and where the page after begins."""

    state: str
    html: str
    next: Place | None


class Album:
    """The images of datasets; those that were shown are kept for a while."""

    def __init__(self) -> None:
        self._thumbnails = Thumbnails()

    def page(self, shelves: Shelves, name: str, place: Place | None) -> Page:
        """Return a page of a dataset."""
        at = place or Place(None, 0)
        found = shelves.get(name, at.start)
        images = [each for each in found.data if each.type != "text"]
        shown = images[at.skipped : at.skipped + SHOWN]
        html = self._html(shelves.calls, found, shown)
        return Page(
            _state(found), html or words.note("There is no image in it."), _next(found, at, len(images))
        )

    def _html(self, calls: Calls, found: DatasetDetail, shown: Sequence[DatasetFile]) -> str:
        there = [each for each in shown if each.dataStatus == "Enabled"]
        pictures = self._thumbnails.of({_once(found, each): partial(_image, calls, each) for each in there})
        captions = _captions(calls, found, shown)
        items = "".join(_item(each, pictures.get(_once(found, each), ""), captions) for each in shown)
        return f'<div class="atelier-pictures">{items}</div>' if items else ""


def _next(found: DatasetDetail, at: Place, images: int) -> Place | None:
    if at.skipped + SHOWN < images:
        return Place(at.start, at.skipped + SHOWN)
    return Place(found.last_evaluated_key, 0) if found.last_evaluated_key else None


def _state(found: DatasetDetail) -> str:
    told = f"{found.dataset_name}: {found.status}, made {words.when(found.timestamp)} by {found.creator}."
    if found.description:
        told += f" {found.description}"
    crop = found.more.get("crop")
    if isinstance(crop, dict):
        told += f" Cropped to {crop.get('max_resolution')} of {crop.get('of')}: {crop.get('status')}."
        if crop.get("error"):
            return words.problem(Problem(f"{told} {crop['error']}"))
    return words.note(told)


def _once(found: DatasetDetail, file: DatasetFile) -> str:
    """Name a file as it is now: it may be uploaded again."""
    return f"{found.s3}/{file.key}/{file.size}"


def _image(calls: Calls, file: DatasetFile) -> Image:
    from atelier_webui.results import opened

    return opened(calls.get(file.preview_url), file.name)


def _captions(calls: Calls, found: DatasetDetail, shown: Sequence[DatasetFile]) -> dict[str, str]:
    """Return the captions of images by their keys' stems; one that cannot be read is none."""
    stems = {_stem(each) for each in shown}
    files = [each for each in found.data if each.type == "text" and _stem(each) in stems]

    def read(file: DatasetFile) -> str:
        try:
            return calls.get(file.preview_url).decode(errors="replace").strip()[:LONGEST]
        except Problem:
            return ""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(map(_stem, files), pool.map(read, files), strict=True))


def _stem(file: DatasetFile) -> str:
    return file.key.rpartition(".")[0]


def _wrong(file: DatasetFile, picture: str) -> str:
    """Say why an image is of no use, or at least not to be seen."""
    if file.dataStatus != "Enabled":
        return file.reason or file.dataStatus
    return "" if picture else "This image cannot be shown."


def _item(file: DatasetFile, picture: str, captions: dict[str, str]) -> str:
    name = escape(file.name)
    caption = escape(captions.get(_stem(file), ""))
    wrong = escape(_wrong(file, picture))
    lines = f"<b>{name}</b>"
    lines += f'<span class="atelier-wrong">{wrong}</span>' if wrong else ""
    lines += f"<span>{caption}</span>" if caption else ""
    return f"<figure>{cover(picture, file.name)}<figcaption>{lines}</figcaption></figure>"
