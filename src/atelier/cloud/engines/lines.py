"""A container's output, line by line, without ever holding more than one of them."""

from __future__ import annotations

from collections.abc import Callable

LONGEST_LINE = 64 * 1024
"""Longer lines reach the log in pieces, as with Docker: a container must not fill our memory."""


class Lines:
    """Makes lines of bytes that come in pieces of any length."""

    def __init__(self, say: Callable[[bytes], None]) -> None:
        self._say = say
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        """Say the lines that are complete now."""
        *complete, self._rest = (self._rest + piece).split(b"\n")
        for line in complete:
            self._cut(line)
        while len(self._rest) >= LONGEST_LINE:
            self._say(self._rest[:LONGEST_LINE])
            self._rest = self._rest[LONGEST_LINE:]

    def end(self) -> None:
        """Say the last line, which no newline ended."""
        if self._rest:
            self._say(self._rest)
        self._rest = b""

    def _cut(self, line: bytes) -> None:
        for start in range(0, max(len(line), 1), LONGEST_LINE):
            self._say(line[start : start + LONGEST_LINE])
