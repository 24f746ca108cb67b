"""Checkpoints on this machine's disk: fetched once, however many ask at once, and bounded in bytes.

A file's name holds the digest of its content, so a container that starts again finds what it has.
"""

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from diffusion.errors import Failure, Invalid, Stopped, Unreachable

ASIDE, WHOLE = ".part", ".safetensors"
NAME = re.compile(r"[0-9a-f]{32}-(?P<digest>[0-9a-f]{64})\.safetensors")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a checkpoint lies, by what name people know it, and what its content must be if that is known."""

    name: str
    address: str
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the store has: its size in bytes, and the version that is there now."""

    size: int
    version: str


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A file on disk, whole and with the content that was asked for."""

    name: str
    path: Path
    sha256: str


class Store(Protocol):
    """Where checkpoints come from."""

    def find(self, address: str) -> Found:
        """Say what is there."""

    def read(self, address: str, version: str) -> Iterator[bytes]:
        """Return the content of that version, piece by piece."""


@dataclass
class _Use:
    """Requests that have a file in use, and the first one's result for all of them."""

    file: "Future[tuple[Path, str]]" = field(default_factory=Future)
    requests: int = 0


class Cache:
    """At most *capacity* bytes of checkpoints in *folder*, the least recently used leaving first."""

    def __init__(self, folder: Path, capacity: int, store: Store) -> None:
        self._folder, self._capacity, self._store = folder, capacity, store
        self._uses: dict[str, _Use] = {}
        self._coming: dict[str, int] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Failure(f"the folder {folder} for checkpoints cannot be made: {error}") from error
        for each in folder.glob(f"*{ASIDE}"):
            each.unlink()

    @contextmanager
    def lease(self, source: Source) -> Iterator[Checkpoint]:
        """Hold a checkpoint on disk, fetching it if need be; it stays there while it is held."""
        found = None if source.sha256 else self._store.find(source.address)
        content = source.sha256 or f"{source.address} {found.version if found else ''}"
        key = hashlib.sha256(content.encode()).hexdigest()[:32]
        use, is_first = self._use(key)
        try:
            if is_first:
                self._resolve(use, key, source, found)
            path, digest = use.file.result()
            os.utime(path)
            yield Checkpoint(name=source.name, path=path, sha256=digest)
        finally:
            with self._lock:
                use.requests -= 1
                if not use.requests:
                    del self._uses[key]

    def close(self) -> None:
        """Give up what is being fetched: the container ends."""
        self._closed.set()

    def _use(self, key: str) -> tuple[_Use, bool]:
        with self._lock:
            is_first = key not in self._uses
            use = self._uses.setdefault(key, _Use())
            use.requests += 1
            return use, is_first

    def _resolve(self, use: _Use, key: str, source: Source, found: Found | None) -> None:
        """Give everybody who waits for this file the same answer."""
        try:
            use.file.set_result(self._kept(key) or self._fetch(key, source, found))
        except BaseException as error:  # nobody may wait for ever, whatever happened
            use.file.set_exception(error)

    def _kept(self, key: str) -> tuple[Path, str] | None:
        for path in self._folder.glob(f"{key}-*{WHOLE}"):
            if named := NAME.fullmatch(path.name):
                return path, named["digest"]
        return None

    def _fetch(self, key: str, source: Source, found: Found | None) -> tuple[Path, str]:
        found = found or self._store.find(source.address)
        self._make_room(key, source.address, found.size)
        aside = self._folder / f"{key}{ASIDE}"
        try:
            digest = self._download(aside, source, found)
            path = self._folder / f"{key}-{digest}{WHOLE}"
            aside.rename(path)
        except OSError as error:
            raise Unreachable(f"{source.address} cannot be kept on this disk: {error.strerror}") from error
        finally:
            aside.unlink(missing_ok=True)
            with self._lock:
                del self._coming[key]
        return path, digest

    def _download(self, aside: Path, source: Source, found: Found) -> str:
        digest, size = hashlib.sha256(), 0
        with aside.open("wb") as file:
            for piece in self._store.read(source.address, found.version):
                if self._closed.is_set():
                    raise Stopped(f"the container ends; {source.address} was not fetched")
                size += len(piece)
                if size > found.size:
                    break
                digest.update(piece)
                file.write(piece)
        if size != found.size:
            raise Unreachable(f"{source.address} did not arrive whole")
        if source.sha256 not in {None, digest.hexdigest()}:
            raise Invalid(f"{source.address} has the SHA-256 {digest.hexdigest()}, not {source.sha256}")
        return digest.hexdigest()

    def _make_room(self, key: str, address: str, size: int) -> None:
        """Let files go until *size* more bytes fit; those in use stay."""
        if size > self._capacity:
            raise Invalid(f"{address} has {size} bytes; this container keeps at most {self._capacity}")
        with self._lock:
            kept = {path: path.stat() for path in self._folder.glob(f"*{WHOLE}")}
            excess = sum(each.st_size for each in kept.values()) + sum(self._coming.values())
            excess += size - self._capacity
            for path in sorted(kept, key=lambda path: kept[path].st_mtime_ns):
                if excess <= 0:
                    break
                if path.name[:32] not in self._uses:
                    with suppress(FileNotFoundError):
                        path.unlink()
                    excess -= kept[path].st_size
            if excess > 0:
                raise Unreachable(f"there is no room for {address} beside the checkpoints in use; try again")
            self._coming[key] = size
