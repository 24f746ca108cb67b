"""Uploads: local files become a checkpoint in the cloud, in parts, several at once.

A part is read from disk as it is sent. One that is cut is sent again; what is there already stays there, so
an upload that was given up for a while goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING

from atelier_webui import errands
from atelier_webui.client import Client
from atelier_webui.errors import Problem, Refusal, Stopped, Unreachable

if TYPE_CHECKING:
    from atelier_webui.contract.api.checkpoints import CheckpointType, CreatedCheckpoint, Part

SMALLEST_PART = 16 * 1024 * 1024
BLOCK = 256 * 1024
WORKERS = 4
ATTEMPTS = 8
LONGEST_PAUSE = 16.0
STOP_AGAIN = 0.2
EXPIRED = frozenset({403, 404})
"""What S3 answers to a link that is too old, or whose upload was ended by somebody else."""

SAFE = ".safetensors"

Show = Callable[[int, int], None]
"""Told the bytes that are there, and of how many; from several threads, but one at a time."""


@dataclass(frozen=True)
class Piece:
    """A part of a file, by its number from 1."""

    path: Path
    number: int
    start: int
    size: int


class Upload:
    """One checkpoint on its way. After a Problem, `run` again goes on where it was cut."""

    def __init__(
        self,
        client: Client,
        paths: Sequence[Path],
        type: CheckpointType,
        *,
        message: str = "",
        show: Show = lambda done, total: None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._client = client
        self._paths = {each.name: each for each in paths}
        self._type = type
        self._message = message
        self._show = show
        self._ending, self._stopping = Event(), Event()
        self._sleep = sleep or self._ending.wait
        self._lock = Lock()
        self._running = Lock()
        self._made: CreatedCheckpoint | None = None
        self._states: dict[str, tuple[int, int]] = {}
        self._tags: dict[tuple[str, int], str] = {}
        self._done = 0
        if len(self._paths) != len(paths) or not paths:
            raise Problem("Choose one file, or several with different names.")

    def run(self) -> str:
        """Upload what is not there yet, and return the checkpoint's id. Raise Stopped after `stop`."""
        if not self._running.acquire(blocking=False):
            raise Problem("This upload is going on already.")
        try:
            self._ending.clear()
            self._stopping.clear()
            return self._run()
        finally:
            self._running.release()

    def _run(self) -> str:
        made = self._begin()
        try:
            self._send([each for each in self._pieces() if (each.path.name, each.number) not in self._tags])
        except Refusal as error:
            if error.status not in EXPIRED:
                raise
            self._begin_anew()
            raise Problem("The upload took too long, or somebody ended it: it must begin anew.") from None
        self._unchanged()
        self._client.complete_checkpoint(
            made.checkpoint.id, {name: self._parts(name) for name in self._paths}
        )
        self._forget()
        return made.checkpoint.id

    def _parts(self, name: str) -> list[Part]:
        """Return the parts of a file that are there."""
        from atelier_webui.contract.api.checkpoints import Part

        tags = sorted((number, tag) for (file, number), tag in self._tags.items() if file == name)
        return [Part(ETag=tag, PartNumber=number) for number, tag in tags]

    def stop(self) -> None:
        """Make `run` end soon, from another thread; it can go on later."""
        self._stopping.set()
        self._ending.set()

    def discard(self) -> bool:
        """Delete what was uploaded, so that the name is free again; stop `run` first, where it is going on.

        Return whether there was anything: what is whole is a checkpoint, and none of an upload's any more.
        """
        self.stop()
        while not self._running.acquire(timeout=STOP_AGAIN):
            self.stop()  # a run that began meanwhile knows nothing of the stop before
        try:
            if self._made is None:
                return False
            self._client.delete_checkpoints([self._made.checkpoint.id])
            self._forget()
            return True
        finally:
            self._running.release()

    def _begin_anew(self) -> None:
        """Let nothing of what was uploaded be used; that it cannot be deleted now hinders nobody."""
        if self._made is not None:
            with suppress(Problem):
                self._client.delete_checkpoints([self._made.checkpoint.id])
        self._forget()

    def _forget(self) -> None:
        self._made = None
        self._tags.clear()
        self._done = 0

    def _begin(self) -> CreatedCheckpoint:
        """Return the checkpoint that is uploaded to: made now, or before the cut."""
        if self._made is not None:
            self._unchanged()
            return self._made
        self._states = {name: _state(path) for name, path in self._paths.items()}
        counts = {name: -(-size // part_size(size)) for name, (size, _) in self._states.items()}
        self._made = self._client.create_checkpoint(self._type, counts, message=self._message)
        return self._made

    def _unchanged(self) -> None:
        """Refuse parts of two different files in one."""
        for name, path in self._paths.items():
            if _state(path) != self._states[name]:
                self._begin_anew()
                raise Problem(f"{name} was changed while it was uploaded: upload it anew.")

    def _pieces(self) -> Iterator[Piece]:
        for name, (size, _) in self._states.items():
            step = part_size(size)
            for number, start in enumerate(range(0, size, step), start=1):
                yield Piece(self._paths[name], number, start, min(step, size - start))

    def _send(self, pieces: Sequence[Piece]) -> None:
        """Send pieces, several at once; after a failure those on their way may arrive, no other is begun."""
        left = iter(pieces)
        sending = [errands.begin(self._work, left) for _ in range(min(WORKERS, len(pieces)))]
        if wait(sending, return_when=FIRST_EXCEPTION).not_done:
            self._ending.set()
            wait(sending)
        errors = [error for each in sending if (error := each.exception())]
        if self._stopping.is_set():
            raise Stopped("The upload was stopped.")
        for error in sorted(errors, key=lambda each: isinstance(each, Stopped)):
            raise error

    def _work(self, left: Iterator[Piece]) -> None:
        while True:
            with self._lock:
                piece = next(left, None)
            if piece is None:
                return
            self._send_piece(piece)

    def _send_piece(self, piece: Piece) -> None:
        for attempt in range(ATTEMPTS):
            if self._ending.is_set():
                raise Stopped("The upload was stopped.")
            try:
                tag = self._put(piece)
            except (Unreachable, Refusal) as error:
                if _is_lasting(error) or attempt == ATTEMPTS - 1:
                    raise
                self._sleep(min(LONGEST_PAUSE, 0.5 * 2**attempt))
            else:
                with self._lock:
                    self._tags[piece.path.name, piece.number] = tag
                return

    def _put(self, piece: Piece) -> str:
        assert self._made is not None  # _begin came before
        link = self._made.s3PresignUrl[piece.path.name][piece.number - 1]
        with Slice(piece, self._moved, self._stopping) as body:
            try:
                return self._client.put(link, body, once=True)
            except BaseException:
                self._moved(-body.sent)
                raise

    def _moved(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._show(self._done, sum(size for size, _ in self._states.values()))


class Slice:
    """A piece as a file: what is read of it is sent at once."""

    def __init__(self, piece: Piece, moved: Callable[[int], None], stopping: Event) -> None:
        self._file = piece.path.open("rb")
        self._file.seek(piece.start)
        self._size = piece.size
        self._moved = moved
        self._stopping = stopping
        self.sent = 0

    def __len__(self) -> int:
        """Return how many bytes there are in all, which HTTP is told first."""
        return self._size

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; more than the few that are asked for, since fewer calls are faster."""
        if self._stopping.is_set():
            raise Stopped("The upload was stopped.")
        body = self._file.read(min(max(size, BLOCK), self._size - self.sent))
        self.sent += len(body)
        self._moved(len(body))
        return body

    def __enter__(self) -> Slice:
        """Return it open."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self._file.close()


def _is_lasting(error: Problem) -> bool:
    """Say whether S3 would answer the same once more; it calls a client slow that was cut off."""
    return isinstance(error, Refusal) and error.status < 500 and "RequestTimeout" not in str(error)


def part_size(size: int) -> int:
    """Return how large the parts of a file are: the API takes no more than so many."""
    from atelier_webui.contract.api.checkpoints import PARTS

    smallest = -(-size // PARTS)
    return max(SMALLEST_PART, -(-smallest // BLOCK) * BLOCK)


def _state(path: Path) -> tuple[int, int]:
    """Return a file's size and when it was written; raise Problem when it cannot be uploaded."""
    try:
        found = path.stat()
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise Problem(f"{path.name} cannot be read: {error.strerror}.") from None
    if path.name.lower().endswith(SAFE) and not _may_be_safe(start, found.st_size):
        raise Problem(f"{path.name} is not a {SAFE} file, or not the whole of one.")
    if not found.st_size:
        raise Problem(f"{path.name} is empty.")
    return found.st_size, found.st_mtime_ns


def _may_be_safe(start: bytes, size: int) -> bool:
    """Say whether a file begins as one of tensors does: the length of its header, and JSON."""
    return len(start) == 9 and start.endswith(b"{") and 8 + int.from_bytes(start[:8], "little") <= size
