"""Open ports: which listener speaks there in plain, which in TLS, and the connections that come in."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web

from atelier.cloud.services.elasticloadbalancing import answers

HANDSHAKE = 10.0
LINE = 16 * 1024
"""Bytes that a request line or a header may have."""

MOST_HEADERS = 500
TLS = 0x16
"""The first byte of whoever begins to speak TLS."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

logger = logging.getLogger(__name__)


class Connection(web.RequestHandler):
    """One client's connection; what is no HTTP gets the page that AWS has for it."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be understood, or went wrong here."""
        if status >= 500:
            logger.error("a load balancer failed at %s %s", request.method, request.rel_url, exc_info=exc)
        if request.writer.output_size > 0:  # half an answer is on its way: only a break tells the client
            raise ConnectionError("the answer had begun")
        answer = answers.page(status)
        answer.force_close()
        return answer


class Face:
    """What a listener shows: how it answers, and its certificate when it speaks TLS."""

    def __init__(self, handler: Handler, *, keep_alive: float, tls: ssl.SSLContext | None) -> None:
        self.server = web.Server(handler, handler_cancellation=True)
        self.tls, self._keep_alive = tls, keep_alive

    def protocol(self) -> Connection:
        """Return what serves one more connection."""
        return Connection(
            self.server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=self._keep_alive,
            max_line_size=LINE,
            max_field_size=LINE,
            max_headers=MOST_HEADERS,
            auto_decompress=False,
            access_log=cast(Any, None),
        )

    async def close(self, grace: float) -> None:
        """Take no more requests; those under way have *grace* seconds."""
        self.server.pre_shutdown()
        await self.server.shutdown(grace)


class Door:
    """One open port."""

    def __init__(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._socket = listener
        self.plain: Face | None = None
        self.secure: Face | None = None
        self._accepting = asyncio.create_task(self._accept())
        self._coming: set[asyncio.Task[None]] = set()

    @property
    def is_used(self) -> bool:
        """Whether any listener speaks here."""
        return self.plain is not None or self.secure is not None

    def close(self) -> None:
        """Let nobody in any more."""
        self._accepting.cancel()
        for each in self._coming:
            each.cancel()
        self._socket.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._socket)
            except OSError:  # too many open files, or a client that left at once
                logger.exception("a load balancer could not take a connection")
                await asyncio.sleep(0.1)
                continue
            coming = asyncio.create_task(self._welcome(connection))
            self._coming.add(coming)
            coming.add_done_callback(self._coming.discard)

    async def _welcome(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(HANDSHAKE):
                face = await self._face(connection)
                if face is None:
                    connection.close()
                    return
                await loop.connect_accepted_socket(face.protocol, connection, ssl=face.tls)
        except (OSError, TimeoutError, ssl.SSLError):
            connection.close()  # whoever asked sees no answer: as it is with TLS that fails

    async def _face(self, connection: socket.socket) -> Face | None:
        """Return who is meant: where both forms are spoken, the first byte tells."""
        connection.setblocking(False)
        if self.plain is None or self.secure is None:
            return self.plain or self.secure
        await _readable(connection)
        return self.secure if connection.recv(1, socket.MSG_PEEK)[:1] == bytes([TLS]) else self.plain


async def _readable(connection: socket.socket) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        await ready.wait()
    finally:
        with contextlib.suppress(ValueError):
            loop.remove_reader(connection)
