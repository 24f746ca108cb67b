"""Crops: what becomes of the dataset that a crop makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from atelier.lambdas.domain.datasets import Dataset, Entry, is_picture
from atelier.lambdas.domain.work import Work
from atelier.lambdas.errors import Failed
from atelier.lambdas.ports.work import Datasets, Files
from atelier.lambdas.services.middleware import manifests
from atelier.lambdas.services.middleware.access import settled

OK = "ok"


def keep(work: Work, result: Mapping[str, Any], *, datasets: Datasets, files: Files) -> None:
    """Let the cropped pictures be used; those that could not be cropped say why. Once more is fine."""
    made = datasets.get(work.result)
    if made is None or not _is_by(made, work):
        files.delete_folder(work.output)
        raise Failed("the dataset was deleted before it was made")
    if made.status == "Enabled":
        return
    entries = [*_placed(work, files), *_refused(result)]
    parts = manifests.replace_all(made, entries, files=files)
    _change(work, datasets, lambda was: replace(_ended(was, "Completed"), status="Enabled", parts=parts))


def discard(work: Work, *, datasets: Datasets, files: Files) -> None:
    """Leave a dataset that cannot be used, and say why; nothing of it is there."""
    files.delete_folder(work.output)
    status = work.status if work.is_finished else "Failed"
    _change(work, datasets, lambda was: replace(_ended(was, status, work.error), status="Disabled"))


def forget(work: Work, *, datasets: Datasets) -> None:
    """Let the name be free again, if it is this crop's."""
    made = datasets.get(work.result)
    if made is not None and _is_by(made, work):
        datasets.remove(made.name)


def _change(work: Work, datasets: Datasets, change: Callable[[Dataset], Dataset]) -> None:
    def attempt() -> None:
        was = datasets.get(work.result)
        if was is not None and _is_by(was, work):
            datasets.save(change(was), was=was)

    settled(attempt)


def _is_by(dataset: Dataset, work: Work) -> bool:
    return dataset.crop is not None and dataset.crop.work == work.id


def _ended(dataset: Dataset, status: str, error: str = "") -> Dataset:
    crop = dataset.crop and replace(dataset.crop, status=status, error=error)
    return replace(dataset, crop=crop)


def _placed(work: Work, files: Files) -> Iterator[Entry]:
    """Return what is in place: pictures, and the captions that came along."""
    for key, _ in files.sizes(work.output):
        path = key.removeprefix(work.output)
        yield Entry(path=path, name=name_of(path), type="image" if is_picture(path) else "text")


def _refused(result: Mapping[str, Any]) -> Iterator[Entry]:
    """Return the pictures that could not be cropped."""
    for each in result.get("files", []):
        if each.get("status") != OK:
            path, why = str(each.get("name", "")), str(each.get("reason") or "it could not be cropped")
            yield Entry(path=path, name=name_of(path), type="image", reason=why[:300])


def name_of(path: str) -> str:
    """Return a file's name without its folder."""
    return path.rpartition("/")[2]
