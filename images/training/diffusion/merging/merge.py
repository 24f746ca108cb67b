"""A merge: from open files to a file, block after block, on as many cores as there are."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import local

import numpy as np

from . import aside, hashes, metadata, plan
from .checkpoint import LONGEST, SIZES, Checkpoint
from .errors import MergeError
from .hashes import Hashes
from .plan import Plan, Report, Segment
from .precision import BLOCK, FLOATS, Bytes, Scratch, Values, decode, encode, magnitude
from .recipe import ADD_DIFFERENCE, Recipe

#: More threads than this wait for memory, not for cores.
MOST_WORKERS = 4
ONE = np.float32(1)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Parent:
    """A checkpoint to merge: its file, what to call it, and its SHA-256 if that is to be compared."""

    path: Path
    name: str
    sha256: "str | None" = None


@dataclass(frozen=True)
class Result:
    """The merged file, and what became of the parents' keys."""

    path: Path
    size: int
    hashes: "Hashes | None"
    parents: "tuple[Hashes | None, ...]"
    metadata: "dict[str, str]"
    report: Report


def merge(
    recipe: Recipe,
    parents: "Sequence[Parent]",
    output: Path,
    *,
    progress: Progress = lambda done, of: None,
    hashed: bool = True,
) -> Result:
    """Merge *parents* into *output*, which appears whole or stays what it was.

    *progress* hears of bytes done, of how many; what it raises ends the merge. Without hashes the result does
    not say who its parents were, but nothing is read twice.
    """
    recipe.check()
    recipe.check_parents(len(parents))
    if any(output.resolve() == each.path.resolve() for each in parents):
        raise MergeError(f"{output} is to be merged itself: give the result another name")
    with ExitStack() as stack:
        opened = [stack.enter_context(Checkpoint(each.path, each.name)) for each in parents]
        for each in opened:
            each.check_is_stable_diffusion()
        planned = plan.make(recipe, opened)
        pool = stack.enter_context(ThreadPoolExecutor(_workers(), thread_name_prefix="merge"))
        known = _known(parents, opened, pool) if hashed else (None,) * len(parents)
        named = list(zip(opened, known, strict=True))
        told = metadata.written(recipe, output.name.removesuffix(".safetensors"), named, planned.report)
        header = _header(planned, told)
        size = len(header) + planned.size
        with aside.replacing(output, size) as descriptor:
            made = _made(_Work(recipe, opened, descriptor), planned, header, pool, progress, hashed)
    return Result(output, size, made, tuple(known), told, planned.report)


def _workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_WORKERS, cores))


def _known(
    parents: "Sequence[Parent]", opened: "Sequence[Checkpoint]", pool: ThreadPoolExecutor
) -> "tuple[Hashes, ...]":
    """Hash the parents; refuse one that is not what it is said to be."""
    found = tuple(pool.map(hashes.of, opened))
    for parent, own in zip(parents, found, strict=True):
        if parent.sha256 and parent.sha256 != own.sha256:
            raise MergeError(
                f"{parent.name} is not what it was: its SHA-256 is {own.sha256}, not {parent.sha256}"
            )
    return found


def _header(planned: Plan, told: "dict[str, str]") -> bytes:
    table: dict[str, object] = {"__metadata__": told}
    for goal in planned.goals:
        offsets = [goal.start, goal.start + goal.size]
        table[goal.name] = {"dtype": goal.kind, "shape": goal.shape, "data_offsets": offsets}
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    if len(header) > LONGEST:
        raise MergeError("the parents' metadata are too long for a file's header: clean them up first")
    return len(header).to_bytes(8, "little") + header


def _made(
    work: "_Work",
    planned: Plan,
    header: bytes,
    pool: ThreadPoolExecutor,
    progress: Progress,
    hashed: bool,
) -> "Hashes | None":
    """Write the file, hashing what is written while the next is calculated."""
    total, done = len(header) + planned.size, len(header)
    work.write(memoryview(header), 0)
    following = hashes.Following()
    following.add(memoryview(header))
    buffer = memoryview(bytearray(plan.BATCH + 8 * BLOCK))
    for size in _in_order(work, planned, len(header), pool):
        if hashed:
            work.read_back(buffer[:size], done)
            following.add(buffer[:size])
        done += size
        progress(done, total)
    return following.done() if hashed else None


def _in_order(work: "_Work", planned: Plan, start: int, pool: ThreadPoolExecutor) -> "Iterator[int]":
    """Make batches a few ahead of each other; yield the sizes as they are written, one after the other."""
    ahead: deque[Future[int]] = deque()
    try:
        for batch in planned.batches():
            ahead.append(pool.submit(work.make, batch, start))
            start += sum(each.count * SIZES[each.goal.kind] for each in batch)
            if len(ahead) > 2 * _workers():
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        # nothing may write to a file that is about to be closed
        for each in ahead:
            each.cancel()
        for each in ahead:
            if not each.cancelled():
                each.exception()


class _Work:
    """Makes batches, each in one of several threads."""

    def __init__(self, recipe: Recipe, parents: "Sequence[Checkpoint]", descriptor: int) -> None:
        self._recipe, self._parents, self._descriptor = recipe, parents, descriptor
        self._weights = tuple(np.float32(each) for each in recipe.weights)
        self._own = local()

    def make(self, batch: "Sequence[Segment]", start: int) -> int:
        """Calculate a batch and write it at *start*; return its size."""
        if not hasattr(self._own, "scratch"):
            self._own.scratch, self._own.buffer = Scratch(), np.empty(plan.BATCH + 8 * BLOCK, np.uint8)
        buffer, done = self._own.buffer, 0
        with np.errstate(all="ignore"):
            for segment in batch:
                size = segment.count * SIZES[segment.goal.kind]
                self._calculate(segment, buffer[done : done + size], self._own.scratch)
                done += size
        self.write(buffer.data[:done], start)
        return done

    def write(self, piece: memoryview, start: int) -> None:
        """Write all of a piece."""
        while piece:
            written = os.pwrite(self._descriptor, piece, start)
            piece, start = piece[written:], start + written

    def read_back(self, into: memoryview, start: int) -> None:
        """Read what was written."""
        while into:
            found = os.preadv(self._descriptor, [into], start)
            into, start = into[found:], start + found

    def _calculate(self, segment: Segment, out: Bytes, scratch: Scratch) -> None:
        goal, kind = segment.goal, segment.goal.parts[0].kind
        if len(segment.starts) == 1 and kind == goal.kind:
            self._parents[0].read(out.data, segment.starts[0])
            if kind in FLOATS:
                self._checked(0, out, goal.name, kind)
            return
        values, bound = self._combined(segment, scratch)
        if not encode(values, goal.kind, out, scratch, bound):
            raise MergeError(f"{goal.name} gets numbers too large for {goal.kind}: choose bf16 or fp32")

    def _combined(self, segment: Segment, scratch: Scratch) -> "tuple[Values, float]":
        """Calculate a segment; return how large its numbers, and all that they were made by, can be."""
        if len(segment.starts) == 1:
            return self._read(0, segment, ONE, scratch.first, scratch)
        weight, multiplier = self._weights
        values, most = self._read(0, segment, weight, scratch.first, scratch)
        if self._recipe.method == ADD_DIFFERENCE:
            other, more = self._read(1, segment, ONE, scratch.second, scratch)
            third, less = self._read(2, segment, ONE, scratch.third, scratch)
            np.subtract(other, third, out=other)
            np.multiply(other, multiplier, out=other)
            more += less  # the multiplier is 1 at most
        else:
            other, more = self._read(1, segment, multiplier, scratch.second, scratch)
        return np.add(values, other, out=values), most + more

    def _read(
        self, parent: int, segment: Segment, weight: np.float32, into: Values, scratch: Scratch
    ) -> "tuple[Values, float]":
        """Read a parent's numbers times *weight*, and how large they can be."""
        tensor, values = segment.goal.parts[parent], into[: segment.count]
        raw = scratch.bytes[: segment.count * tensor.width]
        self._parents[parent].read(raw.data, segment.starts[parent])
        largest = self._checked(parent, raw, segment.goal.name, tensor.kind)
        decode(raw, tensor.kind, weight, values)
        return values, largest * float(weight)

    def _checked(self, parent: int, raw: Bytes, name: str, kind: str) -> float:
        """Return how large the largest number is; refuse what is none."""
        largest = magnitude(raw, kind)
        if largest == float("inf"):
            who = self._parents[parent].name
            raise MergeError(f"{who} is damaged: {name} holds infinity, or what is no number (NaN)")
        return largest
