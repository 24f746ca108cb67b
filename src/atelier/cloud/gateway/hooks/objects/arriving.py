"""A body on its way in: from the connection to memory when it is small, to disk when it is not."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import IO, Any

from atelier.cloud.gateway.hooks.objects import checksums
from atelier.cloud.gateway.hooks.objects.aside import LARGE, WORKERS
from atelier.cloud.gateway.hooks.objects.framing import Chunked, Framing, Plain, Seal
from atelier.cloud.gateway.hooks.objects.refused import Refused, incomplete
from atelier.cloud.gateway.hooks.objects.stored import BLOCK, Stored, Upload

Receive = Callable[[], Awaitable[Any]]

PAYLOAD = re.compile(r"[0-9a-f]{64}|UNSIGNED-PAYLOAD|STREAMING-[A-Z0-9-]+")


class Connection:
    """The receiving end of a request, which knows whether its body has come whole."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def __call__(self) -> Any:
        """Return the next message, as an ASGI server does."""
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self.ended = True
        return message

    async def drain(self) -> None:
        """Let the rest of the body pass: a client that is still sending would not read its answer."""
        while not self.ended:
            await self()


class Arriving(bytes):
    """A body still to be read; empty to whoever looks at it as bytes."""

    connection: Connection
    seal: Seal | None

    @classmethod
    def on(cls, connection: Connection) -> Arriving:
        """Return the body that *connection* brings."""
        self = cls()
        self.connection, self.seal = connection, None
        return self

    async def read(self, headers: dict[str, str], algorithms: Iterable[str], folder: Path) -> bytes | Stored:
        """Return the content, checked against what the *headers* say of it; trailers come among them."""
        signed = {"SHA256"} if len(headers.get("x-amz-content-sha256", "")) == 64 else set()
        sink = Sink(folder, ({"MD5", *algorithms} | signed) & checksums.MAKERS.keys())
        try:
            await self._take(headers, framing_of(headers, self.seal), sink)
            sink.check(headers)
            return sink.content()
        except BaseException:
            sink.discard()
            raise

    async def _take(self, headers: dict[str, str], framing: Framing, sink: Sink) -> None:
        loop = asyncio.get_running_loop()
        received, work = 0, None
        try:
            async for batch in self._batches():
                received += len(batch)
                if work:
                    await work
                if self.connection.ended and work is None:
                    sink.write(framing.feed(batch))
                else:
                    work = loop.run_in_executor(WORKERS, _write, sink, framing, batch)
        finally:
            if work:
                await work
        if headers.get("content-length", str(received)).strip() != str(received):
            raise incomplete("it is not as long as Content-Length says")
        framing.finish(headers)

    async def _batches(self) -> AsyncIterator[bytes]:
        parts: list[bytes] = []
        size = 0
        while not self.connection.ended:
            message = await self.connection()
            if message["type"] == "http.disconnect":
                raise incomplete("the connection was closed")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size >= BLOCK or self.connection.ended:
                yield b"".join(parts)
                parts, size = [], 0


def _write(sink: Sink, framing: Framing, batch: bytes) -> None:
    sink.write(framing.feed(batch))


def framing_of(headers: dict[str, str], seal: Seal | None) -> Framing:
    """Return how a body with these headers is framed; refuse one that cannot be verified."""
    payload = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if not PAYLOAD.fullmatch(payload):
        raise Refused(
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING- form, or a valid sha256 value.",
        )
    if payload.startswith("STREAMING-AWS4") and seal is None:
        raise Refused("SignatureDoesNotMatch", f"{payload} needs a request signed in its headers", 403)
    if (
        payload.startswith("STREAMING-")
        or "aws-chunked" in headers.get("content-encoding", "")
        or "x-amz-decoded-content-length" in headers
    ):
        return Chunked(seal)
    return Plain()


class Sink:
    """Takes content in; it moves to a file when there is much of it."""

    def __init__(self, folder: Path, algorithms: Iterable[str]) -> None:
        self._folder = folder
        self._digests = {name: checksums.MAKERS[name]() for name in algorithms}
        self._memory: list[bytes] = []
        self._size = 0
        self._upload: Upload | None = None
        self._file: IO[bytes] | None = None

    def write(self, pieces: Iterable[bytes]) -> None:
        """Take in the next pieces of content."""
        for piece in pieces:
            self._size += len(piece)
            for digest in self._digests.values():
                digest.update(piece)
            if self._file:
                self._file.write(piece)
            else:
                self._memory.append(piece)
        if self._file is None and self._size >= LARGE:
            self._spill()

    def _spill(self) -> None:
        self._upload = Upload(self._folder / uuid.uuid4().hex)
        self._file = self._upload.path.open("xb")
        self._file.write(b"".join(self._memory))
        self._memory = []

    def check(self, headers: dict[str, str]) -> None:
        """Refuse content that is not what the request was signed for."""
        signed = headers.get("x-amz-content-sha256", "")
        if len(signed) == 64 and signed != self._digests["SHA256"].digest().hex():
            raise Refused(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )

    def content(self) -> bytes | Stored:
        """Return all that was taken in."""
        if self._upload is None:
            return b"".join(self._memory)
        self._close()
        return Stored(
            self._upload, 0, self._size, {name: each.digest() for name, each in self._digests.items()}
        )

    def discard(self) -> None:
        """Remove what was taken in, now: the error that is the reason may live on for a while."""
        self._close()
        if self._upload:
            self._upload.remove()

    def _close(self) -> None:
        if self._file:
            self._file.close()
