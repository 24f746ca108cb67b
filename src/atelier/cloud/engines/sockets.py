"""HTTP over a Unix socket, whatever the length of its path."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

LONGEST = 100
"""Bytes of a path that every system takes for a socket's."""


@contextlib.contextmanager
def short(path: Path) -> Iterator[str]:
    """Yield a name of *path* that a socket's address has room for."""
    if len(os.fsencode(path)) <= LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class SocketConnection(http.client.HTTPConnection):
    """A connection of http.client to a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("registry", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = connected(self._path, self.timeout)


class Stream:
    """Both directions of a connection, each on a descriptor of its own.

    A server that answers early and closes makes our next write fail. On one descriptor asyncio would then
    drop what has come and was not read yet: the answer.
    """

    def __init__(self, reader: asyncio.StreamReader, writers: Sequence[asyncio.StreamWriter]) -> None:
        self.reader, self.writer = reader, writers[1]
        self._writers = writers

    @classmethod
    async def open(cls, path: Path, limit: int) -> Stream:
        """Connect to the socket; *limit* bytes are buffered."""
        incoming = connected(path, None)
        outgoing = incoming.dup()
        reader, first = await asyncio.open_connection(sock=incoming, limit=limit)
        _, second = await asyncio.open_connection(sock=outgoing, limit=limit)
        second.transport.pause_reading()  # type: ignore[attr-defined]
        return cls(reader, (first, second))

    def abort(self) -> None:
        """Let go of the connection at once."""
        for each in self._writers:
            each.transport.abort()


def connected(path: Path, timeout: float | None) -> socket.socket:
    """Return a socket that is connected to *path*."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        with short(path) as address:
            connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection
