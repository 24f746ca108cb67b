"""What trainings, merges and crops need of the world: where they are kept, their files, and who runs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from atelier.contract.values import Value
from atelier.lambdas.domain.accounts import Caller
from atelier.lambdas.domain.checkpoints import Checkpoint
from atelier.lambdas.domain.datasets import Dataset
from atelier.lambdas.domain.inferences import Model
from atelier.lambdas.domain.pages import Cursor
from atelier.lambdas.domain.work import Work


class Works(Protocol):
    """Trainings, merges and crops by id, with conditional writes: Conflict says that another came first."""

    def get(self, id: str) -> Work | None:
        """Return a piece of work as it is now."""
        ...

    def newest(self, kind: str, after: Cursor | None) -> Iterable[Work]:
        """Return the work of a kind, the newest first."""
        ...

    def running(self) -> Iterable[Work]:
        """Return what is watched, the oldest first."""
        ...

    def add(self, row: Work) -> Work:
        """Keep a new piece of work."""
        ...

    def save(self, row: Work, *, was: Work) -> Work:
        """Put *row* in the place of *was* and return it."""
        ...

    def remove(self, id: str) -> None:
        """Forget a piece of work; none is fine."""
        ...


class Datasets(Protocol):
    """Datasets by name, with conditional writes: Conflict says that another writer came first."""

    def get(self, id: str) -> Dataset | None:
        """Return a dataset as it is now."""
        ...

    def newest(self, kind: str, after: Cursor | None) -> Iterable[Dataset]:
        """Return the datasets, the newest first."""
        ...

    def add(self, row: Dataset) -> Dataset:
        """Keep a new dataset."""
        ...

    def save(self, row: Dataset, *, was: Dataset) -> Dataset:
        """Put *row* in the place of *was* and return it."""
        ...

    def remove(self, id: str) -> None:
        """Forget a dataset; none is fine."""
        ...


class Files(Protocol):
    """The objects of work and of datasets, in the middleware's bucket."""

    def read(self, key: str, most: int) -> bytes | None:
        """Return an object, None when there is none; raise TooLarge for more than *most* bytes."""
        ...

    def write(self, key: str, body: bytes, content_type: str) -> None:
        """Put an object in place."""
        ...

    def sizes(self, prefix: str, *, after: str = "", until: str = "") -> Iterable[tuple[str, int]]:
        """Return keys and sizes of objects whose key begins so, in order, those between two keys."""
        ...

    def delete_folder(self, prefix: str) -> None:
        """Delete every object whose key begins so."""
        ...

    def uri(self, key: str) -> str:
        """Return an object's address."""
        ...

    def upload_url(self, key: str, seconds: int) -> str:
        """Return a link by which a client may put an object in place, for some time."""
        ...

    def download_url(self, key: str) -> str:
        """Return a link by which a client may get an object, for a short time."""
        ...


class Course(Value):
    """How an execution is: still running, or how and why it ended."""

    is_running: bool
    reason: str = ""


class Executions(Protocol):
    """The runs of the state machine that sees work through, each named by its work's id."""

    def start(self, id: str, given: Mapping[str, Any]) -> None:
        """Begin one; one that has begun is fine. Busy: it was not begun. TimedOut: nobody knows."""
        ...

    def look(self, id: str) -> Course | None:
        """Return how one is; None when there is none."""
        ...

    def stop(self, id: str, job: str) -> None:
        """Stop one and its job; none, or one that has ended, is fine."""
        ...


class Models(Protocol):
    """Checkpoints by id, and by type and name."""

    def get(self, id: str) -> Checkpoint | None:
        """Return a checkpoint as it is now."""
        ...

    def find(self, type: str, name: str, caller: Caller) -> Model | None:
        """Return an active checkpoint's file of that name, if the caller may use one."""
        ...
