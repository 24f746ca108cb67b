"""Pictures as the WebUI writes them: PNGs that say how they were made; small enough to show in a terminal."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from atelier.client.errors import Problem

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAYS = b"parameters\0"
RGB = 3

Row = bytes
Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of 8-bit colours, row by row from the top."""

    width: int
    height: int
    rows: tuple[Row, ...]

    def colour(self, x: int, y: int) -> Colour:
        """Return the colour of one point."""
        red, green, blue = self.rows[y][RGB * x : RGB * x + RGB]
        return red, green, blue


def infotext(png: bytes) -> str:
    """Return how a picture was made, in the WebUI's words; empty when it does not say."""
    for kind, body in _chunks(png):
        if kind == b"tEXt" and body.startswith(SAYS):
            return body[len(SAYS) :].decode("latin-1")
        if kind == b"iTXt" and body.startswith(SAYS):
            return body.split(b"\0", 5)[-1].decode()
    return ""


def read(png: bytes) -> Picture:
    """Read a PNG of 8-bit colours without interlacing, which is what diffusion paints."""
    chunks = list(_chunks(png))
    header = next((body for kind, body in chunks if kind == b"IHDR"), b"")
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    if header[8:] != bytes([8, 2, 0, 0, 0]):
        raise Problem("the picture is not a PNG of 8-bit colours")
    data = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    stride, rows, above = RGB * width + 1, [], bytes(RGB * width)
    for start in range(0, stride * height, stride):
        above = _unfiltered(data[start], data[start + 1 : start + stride], above)
        rows.append(above)
    return Picture(width=width, height=height, rows=tuple(rows))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not png.startswith(SIGNATURE):
        raise Problem("what was painted is not a PNG")
    at = len(SIGNATURE)
    while at + 8 <= len(png):
        size = int.from_bytes(png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        at += size + 12


def _unfiltered(method: int, line: bytes, above: bytes) -> bytes:
    """Undo a line's filter: what stands there is the difference to a guess from its neighbours."""
    made = bytearray(RGB) + bytearray(len(line))  # the points left of the first are black
    for at, value in enumerate(line, start=RGB):
        left, up = made[at - RGB], above[at - RGB]
        corner = above[at - 2 * RGB] if at >= 2 * RGB else 0
        made[at] = (value + _guess(method, left, up, corner)) & 0xFF
    return bytes(made[RGB:])


def _guess(method: int, left: int, up: int, corner: int) -> int:
    if method == 4:
        near = left + up - corner
        return min((left, up, corner), key=lambda each: abs(near - each))
    return (0, left, up, (left + up) // 2)[method]
