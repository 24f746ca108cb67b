"""Archives of models: one pass over the bytes tells their SHA-256, and whether a container can load them."""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from pathlib import PurePosixPath
from typing import Any

from atelier.contract.values import Value
from atelier.lambdas.ports.fleet import Stream

PIECE = 1024 * 1024
NEEDED = frozenset({"config.json", "model.safetensors", "tokenizer.json"})
FORMAT, SHAPE = "config.json", ("gpt_neo", "gelu_new")
LARGEST_TEXT = 1024 * 1024
MOST_FILES = 1000
LARGEST = 6 * 1024**3
"""Bytes of an archive, and of what it unpacks to: both lie on the 20 GiB of a task, beside its image."""


class Archive(Value):
    """What was read."""

    sha256: str
    size: int
    flaw: str = ""
    """Why no container can load it; empty if nothing is wrong."""


class Tee:
    """A stream that is hashed as it is read."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.size = 0

    def read(self, amount: int = PIECE) -> bytes:
        """Return the next bytes."""
        piece = self._stream.read(amount)
        self._digest.update(piece)
        self.size += len(piece)
        return piece

    def finish(self) -> str:
        """Read what is left, and return the digest of all."""
        while self.read(PIECE):
            pass
        return self._digest.hexdigest()


def read(stream: Stream) -> Archive:
    """Read an archive once, in pieces, and say what is in it."""
    tee = Tee(stream)
    try:
        flaw = _flaw(tee)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        flaw = f"it is no whole .tar.gz: {error}"
    digest = tee.finish()
    if not flaw and tee.size > LARGEST:
        flaw = f"it is larger than {LARGEST >> 30} GiB"
    return Archive(sha256=digest, size=tee.size, flaw=flaw)


def _flaw(tee: Tee) -> str:
    found: set[str] = set()
    total = 0
    with tarfile.open(fileobj=tee, mode="r|gz") as archive:  # type: ignore[call-overload]
        for number, member in enumerate(archive, 1):
            name = _name(member)
            total += member.size
            if number > MOST_FILES or total > LARGEST:
                return f"it unpacks to more than {MOST_FILES} files or {LARGEST >> 30} GiB"
            if name is None:
                return f"it holds {member.name!r}, which is no plain file below its folder"
            if name == FORMAT and (told := _shape(archive, member)):
                return told
            found.add(name)
    missing = sorted(NEEDED - found)
    return f"it lacks {', '.join(missing)}" if missing else ""


def _name(member: tarfile.TarInfo) -> str | None:
    """Return a member's path below the archive's folder; None for one that has no business there."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
        return None
    return str(path)


def _shape(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Say what is wrong with a configuration."""
    file = archive.extractfile(member)
    if file is None or member.size > LARGEST_TEXT:
        return f"its {FORMAT} is no text of a sensible size"
    try:
        read: Any = json.loads(file.read())
    except (ValueError, RecursionError):
        return f"its {FORMAT} is not JSON"
    known = (read.get("model_type"), read.get("activation_function")) if isinstance(read, dict) else None
    return "" if known == SHAPE else f"its {FORMAT} describes {known}, and the fleet serves {SHAPE}"
