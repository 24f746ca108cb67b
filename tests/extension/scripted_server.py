"""A server that answers as it was told to, one request after the other: what no sound middleware would do."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[BaseHTTPRequestHandler], None]


class Scripted:
    """Its replies, and what it was asked; when the replies are used up the last one stands."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        world = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                world.asked.append((self.command, self.path, headers, body))
                reply = world.replies.pop(0) if len(world.replies) > 1 else world.replies[0]
                with contextlib.suppress(OSError):  # who asked may be gone
                    reply(self)

            do_GET = do_POST = do_PUT = do_DELETE = _any

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/prod/"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def answers(self, *replies: Reply) -> None:
        self.replies = list(replies)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def says(status: int, document: Any, **headers: str) -> Reply:
    """Answer with JSON, or with bytes as they are."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def cuts(after: bytes = b"") -> Reply:
    """Hang up, after some bytes or none."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(after)
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    return reply


def waits(seconds: float, then: Reply) -> Reply:
    """Answer late."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        then(handler)

    return reply
