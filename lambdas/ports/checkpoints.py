"""What checkpoints need of the world: where they are kept, how their files get there, and jobs that fetch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from atelier.contract.values import Value
from atelier.lambdas.domain.checkpoints import Checkpoint, File


class Checkpoints(Protocol):
    """Checkpoints by id, with conditional writes. Conflict says that another writer came first.

    A checkpoint and the claims of its names change together; Conflict, too, when a name is another's.
    """

    def get(self, id: str) -> Checkpoint | None:
        """Return a checkpoint as it is now."""
        ...

    def all(self, types: Collection[str]) -> Iterable[Checkpoint]:
        """Return the newest checkpoints of some types, of all when none is named, the newest first."""
        ...

    def holders(self, type: str, names: Collection[str]) -> Mapping[str, str]:
        """Return the ids of the checkpoints that have claimed names of a type."""
        ...

    def add(self, checkpoint: Checkpoint) -> Checkpoint:
        """Keep a new checkpoint."""
        ...

    def save(self, checkpoint: Checkpoint, *, was: Checkpoint) -> Checkpoint:
        """Put *checkpoint* in the place of *was* and return it."""
        ...

    def remove(self, checkpoint: Checkpoint) -> None:
        """Forget a checkpoint and its claims."""
        ...


class Uploads(Protocol):
    """Files that come in parts."""

    def begin(self, key: str) -> str:
        """Begin an upload and return its id."""
        ...

    def urls(self, file: File, parts: int) -> tuple[str, ...]:
        """Return a link for each part, by which a client may upload it."""
        ...

    def put(self, file: File, number: int, body: bytes) -> str:
        """Upload a part and return its tag; Conflict when the upload is no more."""
        ...

    def complete(self, file: File, tags: Mapping[int, str]) -> None:
        """Make a file of its parts; one that is made is fine. Invalid says what is wrong with the parts."""
        ...

    def abort(self, file: File) -> None:
        """Forget the parts; none is fine."""
        ...

    def begins(self, key: str, count: int) -> tuple[int, bytes]:
        """Return a file's size and its first bytes."""
        ...


class Contents(Protocol):
    """Files that are in place."""

    def sha256(self, key: str) -> str | None:
        """Return the digest of a file, read in pieces; None when there is no such file."""
        ...


class Folders(Protocol):
    """Where the files of checkpoints lie."""

    def delete_folder(self, prefix: str) -> None:
        """Delete every object whose key begins so."""
        ...


class Jobs(Protocol):
    """Work that takes longer than a client waits."""

    def download(self, id: str, position: int) -> None:
        """Have a checkpoint's source fetched."""
        ...


class Download(Value):
    """A file as it comes: what the other side calls it, how many bytes it has if that is said, and those."""

    name: str
    size: int | None
    chunks: Iterator[bytes]


class Web(Protocol):
    """Files of public places."""

    def open(self, url: str) -> AbstractContextManager[Download]:
        """Begin to read a file; Failed says why that cannot be, Busy that it may be possible later."""
        ...
