"""Datasets: pictures and captions of a folder, sent several at once, and what becomes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING

from atelier_webui import errands
from atelier_webui.calls import Calls
from atelier_webui.errors import Problem, Refusal, Stopped, Unreachable

if TYPE_CHECKING:
    from atelier_webui.contract.api.datasets import Dataset, DatasetDetail, Datasets, DatasetStatus, NewFile

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
CAPTIONS = frozenset({".txt", ".caption"})
AT_ONCE = 500
"""Files that one request may name."""

WORKERS = 4
PAGE = 100
MOST_PAGES = 100
LARGEST = 256 * 1024 * 1024
EXPIRED = 403

Show = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Folder:
    """What of a folder can become a dataset."""

    images: tuple[Path, ...]
    captions: tuple[Path, ...]
    others: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """Return what is sent."""
        return self.images + self.captions

    @property
    def uncaptioned(self) -> tuple[Path, ...]:
        """Return the images without a caption."""
        told = {each.stem for each in self.captions}
        return tuple(each for each in self.images if each.stem not in told)


def folder(paths: Iterable[Path]) -> Folder:
    """Sort files; raise Problem when two have one name, or there is no image.

    A caption without an image goes nowhere.
    """
    found = sorted(paths, key=lambda each: each.name)
    images = tuple(each for each in found if each.suffix.lower() in IMAGES)
    stems = {each.stem for each in images}
    captions = tuple(each for each in found if each.suffix.lower() in CAPTIONS and each.stem in stems)
    if twice := [
        name for name, count in Counter(each.name for each in images + captions).items() if count > 1
    ]:
        raise Problem(f"There are several files {twice[0]} in the folder: each needs a name of its own.")
    if not images:
        raise Problem(f"There is no image in the folder: {', '.join(sorted(IMAGES))} are images here.")
    others = tuple(each for each in found if each not in {*images, *captions})
    return Folder(images=images, captions=captions, others=others)


@dataclass(frozen=True)
class Shelves:
    """The datasets of an account's middleware."""

    calls: Calls

    def all(self, status: str = "") -> list[Dataset]:
        """List the datasets of a status, or all of them, the newest first."""
        found: list[Dataset] = []
        start: str | None = None
        for _ in range(MOST_PAGES):
            query = {"limit": PAGE, "exclusive_start_key": start, "dataset_status": status or None}
            page: Datasets = self.calls.data("ListDatasets", query=query)
            found += page.datasets
            if (start := page.last_evaluated_key) is None:
                break
        return found

    def get(self, name: str, start: str | None = None) -> DatasetDetail:
        """Return a dataset with a page of its files."""
        found: DatasetDetail = self.calls.data("GetDataset", query={"exclusive_start_key": start}, id=name)
        return found

    def links(self, name: str, files: Sequence[NewFile], description: str) -> dict[str, str]:
        """Make a dataset, or add to it; return where to put each file."""
        from atelier_webui.contract.api.datasets import CreateDatasetRequest, CreatedDataset, DatasetParams

        request = CreateDatasetRequest(
            dataset_name=name,
            content=tuple(files),
            creator=self.calls.account.username or "webui",
            prefix="",
            params=DatasetParams(description=description),
        )
        made: CreatedDataset = self.calls.data("CreateDataset", request)
        return dict(made.s3PresignUrl)

    def settle(self, name: str, status: DatasetStatus) -> None:
        """Let a dataset be used, or not."""
        from atelier_webui.contract.api.datasets import UpdateDatasetRequest

        self.calls.ask("UpdateDataset", UpdateDatasetRequest(status=status), id=name)

    def crop(self, name: str, size: str) -> str:
        """Begin to make a dataset of the pictures, cropped; return its name."""
        from atelier_webui.contract.api.datasets import CropDatasetRequest, CroppedDataset

        made: CroppedDataset = self.calls.data(
            "CropDataset", CropDatasetRequest(max_resolution=size), id=name
        )
        return made.dataset_name

    def delete(self, *names: str) -> None:
        """Delete datasets with their files."""
        from atelier_webui.contract.api.datasets import DeleteDatasetsRequest

        self.calls.ask("DeleteDatasets", DeleteDatasetsRequest(dataset_name_list=names))


@dataclass
class Sending:
    """A folder on its way to a dataset. After a Problem, `run` again goes on where it was cut."""

    shelves: Shelves
    name: str
    folder: Folder
    description: str = ""
    show: Show = lambda done, total: None
    _there: set[str] = field(default_factory=set)
    _done: int = 0
    _total: int = 0
    _ending: Event = field(default_factory=Event)
    _running: Lock = field(default_factory=Lock)
    _lock: Lock = field(default_factory=Lock)

    def run(self) -> str:
        """Send what is not there yet, enable the dataset and return its name. Raise Stopped after `stop`."""
        if not self.name:
            raise Problem("Give the dataset a name first.")
        if not self._running.acquire(blocking=False):
            raise Problem("This upload is going on already.")
        try:
            self._ending.clear()
            self._total = sum(map(self._checked, self.folder.files))
            for batch in self._batches():
                self._send(batch)
            self.shelves.settle(self.name, "Enabled")
            return self.name
        finally:
            self._running.release()

    def stop(self) -> None:
        """Make `run` end soon, from another thread; it can go on later."""
        self._ending.set()

    def discard(self) -> bool:
        """Delete what was sent; return whether there was anything."""
        self.stop()
        with self._running:
            if not self._there:
                return False
            self.shelves.delete(self.name)
            self._there.clear()
            self._done = 0
            return True

    def _checked(self, path: Path) -> int:
        """Return a file's size; refuse one that is none any more, before anything is sent."""
        size = _size(path)
        if not size and path.suffix.lower() in IMAGES:
            raise Problem(f"{path.name} is empty: take it out of the folder.")
        if size > LARGEST:
            raise Problem(f"{path.name} is larger than {LARGEST // 1024 // 1024} MB.")
        return size

    def _batches(self) -> Iterator[list[Path]]:
        left = [each for each in self.folder.files if each.name not in self._there]
        for start in range(0, len(left), AT_ONCE):
            yield left[start : start + AT_ONCE]

    def _send(self, batch: Sequence[Path]) -> None:
        from atelier_webui.contract.api.datasets import NewFile

        kinds = {each.name: "text" if each.suffix.lower() in CAPTIONS else "image" for each in batch}
        files = [NewFile(filename=name, name=name, type=kind) for name, kind in kinds.items()]
        links = self.shelves.links(self.name, files, self.description)
        left = iter(batch)
        sending = [errands.begin(self._work, left, links) for _ in range(min(WORKERS, len(batch)))]
        if wait(sending, return_when=FIRST_EXCEPTION).not_done:
            self._ending.set()
            wait(sending)
        errors = [error for each in sending if (error := each.exception())]
        for error in sorted(errors, key=lambda each: isinstance(each, Stopped)):
            raise error

    def _work(self, left: Iterator[Path], links: dict[str, str]) -> None:
        while True:
            with self._lock:
                path = next(left, None)
            if path is None:
                return
            if self._ending.is_set():
                raise Stopped("The upload was stopped.")
            self._put(path, links)

    def _put(self, path: Path, links: dict[str, str]) -> None:
        try:
            body = path.read_bytes()
        except OSError as error:
            raise Problem(f"{path.name} cannot be read: {error.strerror}.") from None
        try:
            self.shelves.calls.put(links[path.name], body)
        except Unreachable as error:
            raise Unreachable(f"{path.name} was not sent: {error}") from None
        except Refusal as refusal:
            why = "the link was too old" if refusal.status == EXPIRED else str(refusal)
            raise Refusal(refusal.status, f"{path.name} was not taken: {why}.") from None
        with self._lock:
            self._there.add(path.name)
            self._done += len(body)
            self.show(self._done, self._total)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise Problem(f"{path.name} cannot be read: {error.strerror}. Choose the folder again.") from None
