"""Datasets: pictures with their captions, in a folder of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from atelier.contract import keys
from atelier.contract.api.datasets import DatasetStatus
from atelier.contract.values import Value
from atelier.lambdas.errors import Invalid

PICTURES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
MOST_PARTS = 200
"""Of 500 files each at most: ten thousand pictures with their captions, and room for more."""

UNSAFE = frozenset('\\:*?"<>|')


class Entry(Value):
    """What is known of a file: its place in the dataset, what its maker said, and why it is useless if so."""

    path: str
    name: str
    type: str
    reason: str = ""


class Crop(Value):
    """Of what, and how, a dataset is made by a crop."""

    work: str
    of: str
    max_resolution: str
    status: str
    error: str = ""


class Dataset(Value):
    """A dataset; *uid* tells it from an earlier one of the same name, *parts* counts its manifests."""

    name: str
    uid: str
    creator: str
    created: str
    status: DatasetStatus = "Initialed"
    prefix: str = ""
    description: str = ""
    parts: int = 0
    crop: Crop | None = None
    version: str = ""

    @property
    def id(self) -> str:
        """The name, by which it is found."""
        return self.name

    @property
    def folder(self) -> str:
        """Where the files lie."""
        return f"{keys.DATASETS}{self.name}/{self.uid}/"

    @property
    def manifests(self) -> str:
        """Where it is kept what is known of the files."""
        return f"{keys.MANIFESTS}{self.name}/{self.uid}/"

    def manifest(self, number: int) -> str:
        """Return the key of a manifest."""
        return f"{self.manifests}{number:05}.json"

    @property
    def is_being_made(self) -> bool:
        """Whether a crop has not ended yet."""
        return self.crop is not None and self.crop.status in {"Starting", "InProgress"}


def path(prefix: str, name: str) -> str:
    """Return a file's place in its dataset; refuse what would lie elsewhere, or could not be shown."""
    place = "/".join(filter(None, (prefix.strip("/"), name)))
    parts = place.split("/")
    is_plain = all(each and each == each.strip() and not each.startswith(".") for each in parts)
    if not is_plain or not place.isprintable() or set(place) & UNSAFE or len(place.encode()) > 500:
        raise Invalid(f"filename {ascii(place)[:120]} is not a plain name of a file")
    return place


def is_picture(name: str) -> bool:
    """Say whether a name is of a picture."""
    return PurePosixPath(name).suffix.lower() in PICTURES


def entry(found: Mapping[str, Any]) -> Entry:
    """Read an entry of a manifest."""
    return Entry(**{name: str(found.get(name, "")) for name in ("path", "name", "type", "reason")})
