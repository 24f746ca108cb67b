"""Work that takes its time, off the event loop: hashing, copying, and freeing the blocks of large files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

LARGE = 1 << 20  # a body of at least so many bytes stays on disk

# Hashing, reading and writing release the interpreter, so what comes in and goes out shares the processors.
WORKERS = ThreadPoolExecutor(4, thread_name_prefix="objects")
# Copies take seconds each: they must not keep the others waiting.
COPIERS = ThreadPoolExecutor(2, thread_name_prefix="objects-copy")


@contextmanager
def freeing(path: Path) -> Iterator[None]:
    """Remove or replace *path* in the block: its disk space is freed elsewhere, for that is slow."""
    held = _hold(path)
    try:
        yield
    finally:
        if held is not None:
            _free(held)


def _hold(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    if os.fstat(descriptor).st_size >= LARGE:
        return descriptor
    os.close(descriptor)
    return None


def _free(descriptor: int) -> None:
    try:
        COPIERS.submit(os.close, descriptor)
    except RuntimeError:  # the interpreter is ending
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file that may be gone already."""
    with freeing(path), suppress(FileNotFoundError):
        path.unlink()
