"""A file that appears whole, or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import MergeError


@contextmanager
def replacing(path: Path, size: int) -> "Iterator[int]":
    """Open a file beside *path* for *size* bytes; it takes the place of *path* if all went well."""
    target = path.resolve()
    _check(target, path, size)
    # 50 characters are 200 bytes at most, and a name has 255. Nobody else's file has these digits: it may go.
    aside = target.parent / f".{target.name[:50]}.{secrets.token_hex(16)}.part"
    try:  # before there is a file: an interrupt may come as soon as it is there
        descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
            os.fchmod(descriptor, 0o666 & ~_mask())
            os.fsync(descriptor)  # a machine that stops right after the rename has the whole file as well
        finally:
            os.close(descriptor)
        aside.replace(target)
    except BaseException as error:
        with suppress(OSError):
            aside.unlink()
        if isinstance(error, OSError):
            raise MergeError(f"{path} cannot be written: {error.strerror}; nothing was changed") from None
        raise


def _check(target: Path, path: Path, size: int) -> None:
    if target.is_dir():
        raise MergeError(f"{path} is a folder: name a file in it")
    if not target.parent.is_dir():
        raise MergeError(f"{path} cannot be written: there is no folder {target.parent}")
    if target.exists() and not target.is_file():
        raise MergeError(f"{path} is no file that can be replaced")
    free = shutil.disk_usage(target.parent).free
    if free < size:
        raise MergeError(
            f"{path} needs {size:,} bytes, but {target.parent} has {free:,} left: make room first"
        )


def _mask() -> int:
    """Return what new files may not do; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
