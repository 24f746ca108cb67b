"""The front's port and the thread that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from atelier.cloud.context import Cloud, Refused

HOST = "127.0.0.1"
"""Docker asks no TLS of a registry on loopback."""

PORTS = range(20_000, 32_000)
"""Below what systems give to outgoing connections: URIs in deployed stacks hold the port for good."""

Application = Callable[[Any, Any, Any], Awaitable[None]]


def address(file: Path) -> socket.socket:
    """Listen on the port that *file* remembers, or on a free one that it remembers from now on."""
    with contextlib.suppress(FileNotFoundError):
        return _remembered(file)
    for port in random.sample(PORTS, 200):
        with contextlib.suppress(OSError):
            listener = _bound(port)
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.write_text(str(port), encoding="ascii")
            return listener
    raise Refused(f"the image registry finds no free port between {PORTS.start} and {PORTS.stop}")


def _remembered(file: Path) -> socket.socket:
    text = file.read_text(encoding="ascii")
    try:
        return _bound(int(text))
    except (OSError, ValueError, OverflowError) as error:
        raise Refused(
            f"port {text} of the image registry cannot be opened ({error}), and the URIs of the images that"
            " were pushed name it: end the program that took it, or start with another ATELIER_HOME"
        ) from error


def _bound(port: int) -> socket.socket:
    return socket.create_server((HOST, port), backlog=128)


class Server:
    """Serves one application on a listening socket, in an event loop of its own.

    The gateway's loop would be in its way, and it in the gateway's, when layers of gigabytes pass.
    """

    def __init__(self, listener: socket.socket, application: Application) -> None:
        self._listener, self._application = listener, application
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._serving = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, cloud: Cloud) -> None:
        """Serve from now on."""
        self._thread = cloud.spawn(lambda: asyncio.run(self._serve()))
        self._serving.wait(10)

    def stop(self) -> None:
        """Take no more requests, and wait for the end of those that are under way."""
        if self._loop is not None and self._ending is not None and self._thread is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(timeout=10)
        self._listener.close()

    async def _serve(self) -> None:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        config = Config()
        config.bind = [f"fd://{self._listener.detach()}"]  # hypercorn closes it
        config.keep_alive_timeout = 75
        config.graceful_timeout = 3
        config.accesslog = None
        config.errorlog = logging.getLogger("hypercorn.error")
        self._serving.set()
        await serve(self._application, config, shutdown_trigger=self._ending.wait)
