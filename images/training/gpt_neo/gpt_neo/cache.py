"""What one job leaves for the next: the tokenizer and the token ids of a text, in a folder that jobs share.

It saves time and nothing else. What is missing, damaged or cannot be written costs a warning and the work
itself, and two jobs that keep the same thing at once both succeed.
"""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import Tokenizer

from gpt_neo import tokens
from gpt_neo.metrics import say

#: The newest texts stay; a dataset of a gigabyte makes half a gigabyte of ids.
KEPT = 16
SIDECAR = ".json"
BLOCK = 1 << 20


@dataclass(frozen=True)
class Prepared:
    """A text as training reads it."""

    tokenizer: Tokenizer
    ids: tokens.Ids


def prepare(
    runs: tuple[str, ...], vocab_size: int, *, scratch: Path, shared: Path | None, known: str | None = None
) -> Prepared:
    """Learn a tokenizer from *runs* (unless it is *known*) and encode them, or fetch both from *shared*."""
    key = name(runs, vocab_size)
    place = scratch / "training.npy"
    if shared and (found := fetch(shared, key, place, known)):
        say(f"cache hit={key[:12]} folder={shared}")
        return found
    tokenizer = Tokenizer.from_str(known) if known else tokens.learn(runs, vocab_size)
    tokenizer.encode_special_tokens = True
    made = Prepared(tokenizer, tokens.on_disk(tokens.encode(tokenizer, runs), place))
    if shared and known is None:  # a checkpoint's own tokenizer is no job's but its own
        keep(shared, key, tokenizer.to_str(), place)
    return made


def name(runs: Iterable[str], vocab_size: int) -> str:
    """Name what is made of *runs*, by all that it depends on."""
    made = hashlib.sha256(f"{vocab_size} {tokenizers.__version__} {tokens.WORDS}".encode())
    for run in runs:
        body = run.encode()
        made.update(len(body).to_bytes(8))
        made.update(body)
    return made.hexdigest()


def fetch(shared: Path, key: str, place: Path, known: str | None) -> Prepared | None:
    """Copy what is kept to *place*; None when nothing is, when it is not whole, or when it is not *known*."""
    try:
        sidecar = json.loads((shared / f"{key}{SIDECAR}").read_text(encoding="utf-8"))
        text = str(sidecar["tokenizer"])
        if known not in (None, text):
            return None
        digest = _copy(shared / f"{key}.npy", place)
        if digest != sidecar["sha256"] or hashlib.sha256(text.encode()).hexdigest() != sidecar["words"]:
            say(f"warning: what is cached as {key[:12]} is damaged; making it anew")
            return None
        ids = _mapped(place)
        _mark_used(shared / f"{key}{SIDECAR}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        say(f"warning: what is cached as {key[:12]} cannot be read: {error}; making it anew")
        return None
    tokenizer = Tokenizer.from_str(text)
    tokenizer.encode_special_tokens = True
    return Prepared(tokenizer, ids)


def _mapped(place: Path) -> tokens.Ids:
    ids: tokens.Ids = np.load(place, mmap_mode="r")
    if ids.dtype != np.uint16 or ids.ndim != 1:
        raise ValueError(f"its ids are {ids.dtype} in {ids.ndim} dimensions")
    return ids


def keep(shared: Path, key: str, tokenizer: str, place: Path) -> None:
    """Leave a tokenizer and its ids to other jobs: the sidecar comes last, so that what it names is whole."""
    words = hashlib.sha256(tokenizer.encode()).hexdigest()
    try:
        shared.mkdir(parents=True, exist_ok=True)
        with _aside(shared / f"{key}.npy") as ids:
            digest = _copy(place, ids)
        sidecar = {"sha256": digest, "words": words, "tokenizer": tokenizer}
        with _aside(shared / f"{key}{SIDECAR}") as path:
            path.write_text(json.dumps(sidecar), encoding="utf-8")
        _prune(shared)
    except OSError as error:
        say(f"warning: nothing is cached for other jobs: {error}")
    else:
        say(f"cache kept={key[:12]} folder={shared}")


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """Lend another name to write under, which becomes *path* when all went well."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> str:
    """Copy a file; return the SHA-256 of what was read."""
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("wb") as writing:
        while block := reading.read(BLOCK):
            digest.update(block)
            writing.write(block)
        writing.flush()
        os.fsync(writing.fileno())
    return digest.hexdigest()


def _prune(shared: Path) -> None:
    """Remove what was not used for longest; another job may be as fast."""
    for each in sorted(shared.glob(f"*{SIDECAR}"), key=_used)[:-KEPT]:
        each.unlink(missing_ok=True)
        each.with_suffix(".npy").unlink(missing_ok=True)


def _mark_used(path: Path) -> None:
    with contextlib.suppress(OSError):  # where jobs may only read, nothing is pruned either
        os.utime(path)


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
