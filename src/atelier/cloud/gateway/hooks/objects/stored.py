"""Bytes that stay on disk, where ministack expects `bytes`."""

from __future__ import annotations

import os
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

from atelier.cloud.gateway.hooks.objects import checksums
from atelier.cloud.gateway.hooks.objects.aside import LARGE, remove

BLOCK = 1 << 20
COPIED_AT_ONCE = 64 << 20


class File(Protocol):
    """Where the bytes are."""

    path: Path

    def read(self, start: int, size: int) -> bytes:
        """Return up to *size* bytes from *start*."""

    def lend(self) -> AbstractContextManager[int]:
        """Give a descriptor to read from."""

    def size(self) -> int:
        """Return the length of the whole file."""


class Upload:
    """A file that is there as long as this object is: whoever wants to keep its bytes links them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.remove = weakref.finalize(self, remove, path)

    def read(self, start: int, size: int) -> bytes:
        """Return up to *size* bytes from *start*; an upload may have 10,000 parts, so none is held open."""
        with self.lend() as descriptor:
            return os.pread(descriptor, size, start)

    @contextmanager
    def lend(self) -> Iterator[int]:
        """Give a descriptor to read from."""
        with self.path.open("rb") as file:
            yield file.fileno()

    def size(self) -> int:
        """Return the length of the whole file."""
        return self.path.stat().st_size


class Opened:
    """A file held open: its bytes stay readable when its name goes or comes to mean others."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, start: int, size: int) -> bytes:
        """Return up to *size* bytes from *start*."""
        return os.pread(self._descriptor, size, start)

    @contextmanager
    def lend(self) -> Iterator[int]:
        """Give a descriptor to read from."""
        yield self._descriptor

    def size(self) -> int:
        """Return the length of the whole file."""
        return os.fstat(self._descriptor).st_size

    def is_at(self, path: Path) -> bool:
        """Say whether *path* names this very file."""
        return os.path.samestat(os.fstat(self._descriptor), path.stat())


class Stored:
    """A file's bytes, or a stretch of them: with a length and slices, and read only when asked for."""

    def __init__(self, file: File, start: int, size: int, digests: Mapping[str, bytes] | None = None) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._digests = dict(digests or {})

    @classmethod
    def at(cls, path: Path) -> Stored:
        """Return what *path* holds now."""
        file = Opened(path)
        return cls(file, 0, file.size())

    def __len__(self) -> int:
        """Return how many bytes there are."""
        return self._size

    def __getitem__(self, part: slice) -> Stored:
        """Return a stretch, still on disk."""
        start, stop, step = part.indices(self._size)
        if step != 1:
            raise ValueError("a stored body is read forwards")
        if (start, stop) == (0, self._size):
            return self
        return Stored(self._file, self._start + start, max(0, stop - start))

    def __bytes__(self) -> bytes:
        """Return all of it, in memory."""
        return b"".join(self.blocks())

    def __deepcopy__(self, memo: dict[int, Any]) -> Stored:
        """Return itself: its bytes never change."""
        return self

    def read(self, offset: int) -> bytes:
        """Return the block of bytes at *offset*."""
        size = min(BLOCK, self._size - offset)
        block = self._file.read(self._start + offset, size)
        if len(block) < size:
            raise OSError(f"{self._file.path} is shorter than the object that it holds")
        return block

    def blocks(self) -> Iterator[bytes]:
        """Return the bytes piece by piece."""
        return (self.read(offset) for offset in range(0, self._size, BLOCK))

    def digest(self, name: str) -> bytes:
        """Return a checksum by its name; one that was not taken on arrival is computed."""
        if name not in self._digests:
            self._digests[name] = checksums.of(self.blocks(), name)
        return self._digests[name]

    def append_to(self, file: IO[bytes]) -> None:
        """Write all of it behind what *file* has, inside the kernel where that is possible."""
        file.flush()
        done = 0
        with (
            self._file.lend() as source,
            suppress(OSError, AttributeError),
        ):  # this system cannot: read and write
            while done < self._size and (
                count := os.copy_file_range(
                    source, file.fileno(), min(self._size - done, COPIED_AT_ONCE), self._start + done
                )
            ):
                done += count
        file.writelines(self[done:].blocks())

    def place(self, target: Path, folder: Path) -> None:
        """Put these bytes at *target* in one step, without copying them where the file system can.

        *folder* is on the same file system; the new file is made there.
        """
        new = folder / uuid.uuid4().hex
        try:
            if not self._link(new):
                with new.open("xb") as file:
                    self.append_to(file)
            new.replace(target)
        finally:
            new.unlink(missing_ok=True)  # replacing a file by itself leaves both names

    def _link(self, new: Path) -> bool:
        if self._start or self._size != self._file.size():
            return False
        try:
            new.hardlink_to(self._file.path)
        except OSError:  # no hard links here, or the name is gone: then the bytes are copied
            return False
        if isinstance(self._file, Opened) and not self._file.is_at(new):
            new.unlink()
            return False
        return True


def joined(bodies: Sequence[bytes | Stored], folder: Path) -> bytes | Stored:
    """Return all *bodies* as one; a large one is put together in *folder*."""
    if len(bodies) == 1:
        return bodies[0]
    if sum(map(len, bodies)) < LARGE:
        return b"".join(map(bytes, bodies))
    upload = Upload(folder / uuid.uuid4().hex)
    with upload.path.open("xb") as file:
        for body in bodies:
            if isinstance(body, Stored):
                body.append_to(file)
            else:
                file.write(body)
    return Stored(upload, 0, sum(map(len, bodies)))
