"""Downloads: a checkpoint's file as it comes from a public place, in parts, into the bucket.

A job is one source of one checkpoint. It may be started again while an earlier attempt still runs, or was
killed: the number of the attempt tells which is the last one, and the others leave nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from atelier.contract.values import Value
from atelier.lambdas.domain import safetensors
from atelier.lambdas.domain.checkpoints import Checkpoint, File, Source, checked_name, is_safe
from atelier.lambdas.errors import Busy, Conflict, Failed, Invalid, ServiceError, TooLarge
from atelier.lambdas.ports.checkpoints import Download, Web
from atelier.lambdas.services.middleware import checkpoints, headers
from atelier.lambdas.services.middleware.access import settled
from atelier.lambdas.services.middleware.checkpoints import World

PART = 32 * 1024 * 1024
"""Bytes of a part, and about all of a file that is in memory; there may be ten thousand parts."""

ATTEMPTS = 3


class Superseded(ServiceError):
    """The checkpoint is gone, or another attempt at the same has begun."""


class Limits(Value):
    """What a download may be."""

    largest: int
    pickled: bool
    is_time_left: Callable[[], bool]


class Attempt(Value):
    """One try to fetch a source of a checkpoint."""

    checkpoint: Checkpoint
    position: int
    number: int
    url: str

    @property
    def id(self) -> str:
        """The checkpoint's id."""
        return self.checkpoint.id


def fetch(id: str, position: int, *, world: World, web: Web, limits: Limits) -> str:
    """Fetch one source and say what became of it; raise Busy when another attempt may do better."""
    attempt = settled(partial(_begin, id, position, world))
    if attempt is None:
        return "nothing to do"
    try:
        with web.open(attempt.url) as download:
            _take(attempt, download, world, limits)
    except Superseded as error:
        return str(error)
    except (Failed, Invalid, TooLarge) as error:
        return _give_up(attempt, str(error), world)
    except Busy as error:
        if attempt.number < ATTEMPTS:
            raise
        return _give_up(attempt, str(error), world)
    return "done"


def _begin(id: str, position: int, world: World) -> Attempt | None:
    was = world.checkpoints.get(id)
    if was is None or was.status != "Initial" or not position < len(was.sources):
        return None
    source = was.sources[position]
    if source.done:
        return None
    number = source.attempts + 1
    begun = world.checkpoints.save(was.with_source(position, replace(source, attempts=number)), was=was)
    return Attempt(checkpoint=begun, position=position, number=number, url=source.url)


def _current(attempt: Attempt, world: World) -> tuple[Checkpoint, Source]:
    """Return the checkpoint as it is now, unless it is another's business by now."""
    found = world.checkpoints.get(attempt.id)
    if found is None or found.status != "Initial":
        raise Superseded("the checkpoint is gone")
    source = found.sources[attempt.position]
    if source.done or source.attempts != attempt.number:
        raise Superseded("another attempt has begun")
    return found, source


def _take(attempt: Attempt, download: Download, world: World, limits: Limits) -> None:
    """Put a file in place in parts, and check what it is."""
    if download.size is not None and download.size > limits.largest:
        raise TooLarge(f"the file has more than {limits.largest} bytes")
    file = _place(attempt, download.name, world, limits)
    try:
        pieces = _bounded(_sniffed(file, download.chunks), download.size, limits)
        tags = {
            number: world.uploads.put(file, number, part)
            for number, part in enumerate(parts(pieces, PART), start=1)
        }
        _current(attempt, world)
        world.uploads.complete(file, tags)
    except Exception as error:  # the obligation: parts that make no file are forgotten, whatever happened
        world.uploads.abort(file)
        if isinstance(error, Conflict):
            raise Superseded("the upload is gone") from error
        raise
    if is_safe(file.name) and (flaw := headers.flaw(file, world.uploads)):
        raise Failed(flaw)
    _finish(attempt, world)


def _place(attempt: Attempt, told: str, world: World, limits: Limits) -> File:
    """Begin the upload of a file under its own name, which nobody else has."""
    checkpoint, source = _current(attempt, world)
    name = source.name or checked_name(told, pickled=limits.pickled)
    key = checkpoint.folder + name
    file = File(name=name, key=key, upload=world.uploads.begin(key))
    try:
        settled(partial(_claim, attempt, file, world))
    except Exception:
        world.uploads.abort(file)
        raise
    return file


def _claim(attempt: Attempt, file: File, world: World) -> None:
    was, source = _current(attempt, world)
    if not source.name:
        if file.name in was.names:
            raise Invalid(f'filename "{file.name}" is there twice')
        if world.checkpoints.holders(was.type, {file.name}):
            raise Invalid(checkpoints.taken(file.name))
    earlier = next((each for each in was.files if each.key == file.key and each.upload), None)
    named = was.with_source(attempt.position, replace(source, name=file.name))
    world.checkpoints.save(named.with_file(file), was=was)
    if earlier is not None:
        world.uploads.abort(earlier)


def _sniffed(file: File, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Return the chunks of a file, unless they begin otherwise than its name says."""
    start = b""
    for each in chunks:
        start += each
        if len(start) > safetensors.LENGTH:
            break
    if is_safe(file.name) and not safetensors.may_be(start):
        raise Failed(f"{file.name} is not a safetensors file")
    yield start
    yield from chunks


def _bounded(chunks: Iterable[bytes], size: int | None, limits: Limits) -> Iterator[bytes]:
    """Return the chunks while there is time and room for them; a file must have the size that it said."""
    count = 0
    for each in chunks:
        count += len(each)
        if count > limits.largest:
            raise TooLarge(f"the file has more than {limits.largest} bytes")
        if not limits.is_time_left():
            raise Failed("the file takes too long to come")
        yield each
    if size is not None and count != size:
        raise Busy("the file came to an end too early")


def parts(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Return the same bytes in parts of a *size*, the last one apart; nothing is an empty part."""
    buffer = bytearray()
    is_first = True
    for each in chunks:
        buffer += each
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
            is_first = False
    if buffer or is_first:
        yield bytes(buffer)


def _finish(attempt: Attempt, world: World) -> None:
    """Keep that a file is in place; with the last one the checkpoint is Active."""
    try:
        settled(partial(_done, attempt, world))
    except Superseded:
        checkpoints.sweep(attempt.checkpoint, world)
        raise


def _done(attempt: Attempt, world: World) -> None:
    was, source = _current(attempt, world)
    after = was.with_source(attempt.position, replace(source, done=True))
    is_last = all(each.done for each in after.sources)
    world.checkpoints.save(after.activated() if is_last else after, was=was)


def _give_up(attempt: Attempt, why: str, world: World) -> str:
    try:
        settled(partial(_fail, attempt, why, world))
    except Superseded as error:
        return str(error)
    return f"failed: {why}"


def _fail(attempt: Attempt, why: str, world: World) -> None:
    was, _ = _current(attempt, world)
    checkpoints.disable(was, why, world)
