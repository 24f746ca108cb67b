"""HTTP over a Unix socket, whatever the length of its path."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import socket
from collections.abc import Iterator
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
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.timeout)
        try:
            with short(self._path) as address:
                connection.connect(address)
        except OSError:
            connection.close()
            raise
        self.sock = connection


async def opened(path: Path, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a stream to the socket that buffers *limit* bytes."""
    with short(path) as address:
        return await asyncio.open_unix_connection(address, limit=limit)
