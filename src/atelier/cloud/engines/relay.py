"""One HTTP exchange passed on to a Unix socket, both bodies streamed in bounded memory.

What the registry holds are layers of gigabytes: no body is ever whole in memory here, and who reads slowly
slows down who sends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11

from atelier.cloud.engines.sockets import Stream

CHUNK = 256 * 1024

LAST_WORD = 1.0
"""Seconds in which a registry that takes no more of a request may still say why."""

ANSWER = 300.0
"""Seconds in which a registry that was told everything answers: it hashes a layer first."""

# What belongs to one connection, not to the message; the caller's password stays here.
OWN = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"expect"}
    | {b"authorization", b"host"}
)

Headers = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class BrokenOff(Exception):
    """The other side went away; `answered` says whether its answer had begun."""

    def __init__(self, *, answered: bool) -> None:
        super().__init__("the image registry broke off")
        self.answered = answered


class Gone(Exception):
    """The client went away."""


class Body:
    """A request's body as ASGI receives it, which can be read to its end before an answer is sent.

    Most clients listen only when they have sent everything; an answer that comes before, and a connection
    that is closed upon it, they do not see.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self._is_over = receive, False

    async def __call__(self) -> dict[str, Any]:
        """Return the next message."""
        message = await self._receive()
        self._is_over = message["type"] == "http.disconnect" or not message.get("more_body")
        return message

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; raise Gone when the client goes away before its end."""
        while not self._is_over:
            message = await self()
            if message["type"] == "http.disconnect":
                raise Gone
            if part := message.get("body"):
                yield part

    async def drain(self) -> None:
        """Let go of what nobody reads any more."""
        while not self._is_over:
            await self()

    async def left(self) -> None:
        """Return when the client has gone away."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True)
class Request:
    """What is asked of the registry."""

    method: str
    target: str
    headers: Headers


async def relay(path: Path, request: Request, body: Body, send: Send) -> None:
    """Pass a request on, and its answer back through ASGI's *send*."""
    try:
        stream = await Stream.open(path, CHUNK)
    except OSError as error:
        raise BrokenOff(answered=False) from error
    exchange = _Exchange(stream)
    sending = asyncio.create_task(exchange.ask(request, body))
    try:
        head = await exchange.head(sending)
        await _ended(sending)
        await body.drain()
        leaving = asyncio.create_task(body.left())
        try:
            await exchange.answer(head, send, leaving.done)
        finally:
            leaving.cancel()
    finally:
        await _ended(sending)
        stream.abort()


async def _ended(sending: asyncio.Task[None]) -> None:
    """End the sending of a request; why it failed is in the answer, or in the lack of one."""
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError, Gone, OSError):
        await sending


def passed_on(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers that are the message's own."""
    return [(name, value) for name, value in headers if name.lower() not in OWN]


class _Exchange:
    """The registry's side of one exchange."""

    def __init__(self, stream: Stream) -> None:
        self._reader, self._writer = stream.reader, stream.writer
        self._protocol = h11.Connection(h11.CLIENT)

    async def ask(self, request: Request, body: Body) -> None:
        """Send the request as its body comes."""
        headers = [(b"host", b"registry"), (b"connection", b"close"), *passed_on(request.headers)]
        await self._write(h11.Request(method=request.method, target=request.target, headers=headers))
        async for part in body.parts():
            await self._write(h11.Data(data=part))
        await self._write(h11.EndOfMessage())

    async def head(self, sending: asyncio.Task[None]) -> h11.Response:
        """Return the answer's head; it may come before the request was read to its end."""
        reading = asyncio.create_task(self._response())
        try:
            await asyncio.wait([reading, sending], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done() and (failure := sending.exception()):
                if not isinstance(failure, OSError):
                    raise failure
                return await asyncio.wait_for(reading, LAST_WORD)
            return await asyncio.wait_for(reading, ANSWER)
        except (OSError, h11.ProtocolError, TimeoutError) as error:
            raise BrokenOff(answered=False) from error
        finally:
            reading.cancel()

    async def answer(self, head: h11.Response, send: Send, is_unwanted: Callable[[], bool]) -> None:
        """Hand the answer on as it comes; raise Gone when nobody wants it any more."""
        headers = [(name, value) for name, value in passed_on(head.headers) if name != b"transfer-encoding"]
        await send({"type": "http.response.start", "status": head.status_code, "headers": headers})
        try:
            while not isinstance(event := await self._event(), h11.EndOfMessage):
                if is_unwanted():
                    raise Gone
                if isinstance(event, h11.Data):
                    await send({"type": "http.response.body", "body": bytes(event.data), "more_body": True})
        except (OSError, h11.RemoteProtocolError) as error:
            raise BrokenOff(answered=True) from error
        await send({"type": "http.response.body", "body": b""})

    async def _response(self) -> h11.Response:
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError(f"{type(event).__name__} before the answer")

    async def _event(self) -> Any:
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            self._protocol.receive_data(await self._reader.read(CHUNK))
        return event

    async def _write(self, event: h11.Event) -> None:
        self._writer.write(self._protocol.send(event) or b"")
        await self._writer.drain()
