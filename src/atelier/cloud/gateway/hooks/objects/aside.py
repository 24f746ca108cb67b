"""Work that takes its time, off the event loop: hashing, copying, and freeing the blocks of large files."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

LARGE = 1 << 20  # a body of at least so many bytes stays on disk

# Hashing, reading and writing release the interpreter, so what comes in and goes out shares the processors.
WORKERS = ThreadPoolExecutor(4, thread_name_prefix="objects")
# Copies take seconds each: they must not keep the others waiting.
COPIERS = ThreadPoolExecutor(2, thread_name_prefix="objects-copy")

# The event loop that waits for what is done aside.
_waiting: contextvars.ContextVar[asyncio.AbstractEventLoop | None] = contextvars.ContextVar(
    "waiting", default=None
)


async def answered(asked: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Answer off the event loop, where other calls go on meanwhile."""
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    context.run(_waiting.set, loop)
    return await loop.run_in_executor(COPIERS, context.run, lambda: asyncio.run(asked()))


def on_loop(work: Callable[[], T]) -> T:
    """Do *work* where ministack does all of its own: its stores may not change while it goes through them."""
    loop = _waiting.get()
    if loop is None:
        return work()
    done: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            done.set_result(context.run(work))
        except Exception as error:  # it is raised again where it is waited for
            done.set_exception(error)

    loop.call_soon_threadsafe(run)
    return done.result()


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
