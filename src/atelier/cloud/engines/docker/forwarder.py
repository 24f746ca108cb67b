"""Joins connections of two sockets. It runs on both sides of an isolated container's border.

Inside, it is the image's own Python that runs it, whatever its version: the standard library only.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable

INSIDE = 8080
"""Where SageMaker's containers answer when nothing tells them another port."""
BACKLOG = 128
PIECE = 65536


def carry(listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
    """Join every connection that *listener* accepts with a new one of *connect*, until it is closed."""
    while True:
        try:
            one, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_join, args=(one, connect), daemon=True).start()


def _join(one: socket.socket, connect: Callable[[], socket.socket]) -> None:
    try:
        two = connect()
    except OSError:  # nobody listens there yet: who asked sees its connection closed
        one.close()
        return
    back = threading.Thread(target=_pump, args=(two, one), daemon=True)
    back.start()
    _pump(one, two)
    back.join()
    one.close()
    two.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            piece = source.recv(PIECE)
            if not piece:
                break
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def main(path: str) -> None:
    """Listen on the Unix socket *path* for what is meant for the container's own port."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(BACKLOG)
        carry(listener, lambda: socket.create_connection(("127.0.0.1", INSIDE)))


if __name__ == "__main__":
    main(sys.argv[1])
