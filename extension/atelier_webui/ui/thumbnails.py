"""Thumbnails: small pictures as data URLs, so that the page needs no link to what they are of."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from atelier_webui.errors import Problem

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 192
AT_ONCE = 6
MOST_KEPT = 400

Make = Callable[[], "Image | None"]


class Thumbnails:
    """Thumbnails of what never changes, by a name of its own; they are kept, but not for ever."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    def of(self, wanted: Mapping[str, Make]) -> dict[str, str]:
        """Return what there is, by name; those that are not there yet are made several at once."""
        missing = [name for name in wanted if name not in self._kept]
        if missing:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda name: self._make(name, wanted[name]), missing))
        found = {name: self._kept.get(name, "") for name in wanted}  # another page may have cleared them
        return {name: picture for name, picture in found.items() if picture}

    def _make(self, name: str, make: Make) -> None:
        try:
            image = make()
        except Problem:
            return  # a picture of a picture: its own view says what is wrong
        if image is None:
            return
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[name] = data_url(image)


def data_url(image: Image) -> str:
    """Return an image, made no larger than a thumbnail, as what `src` takes."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    written = io.BytesIO()
    small.save(written, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"
