"""The framing of a body on the wire: plain, or ``aws-chunked`` with signatures and trailers."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from atelier.cloud.gateway.hooks.objects import checksums
from atelier.cloud.gateway.hooks.objects.refused import Refused, incomplete

LINE = 1024
TRAILERS = 16 * 1024
EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass
class Seal:
    """What each chunk's signature is checked with; it goes on from one to the next."""

    previous: str
    key: bytes
    date: str
    scope: str

    def check(self, kind: str, digests: tuple[str, ...], given: str) -> None:
        """Refuse a signature that is not the next in the chain."""
        text = "\n".join([f"AWS4-HMAC-SHA256-{kind}", self.date, self.scope, self.previous, *digests])
        self.previous = hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(self.previous.encode(), given.strip().encode()):
            raise Refused("SignatureDoesNotMatch", "a chunk's signature does not match its content", 403)


class Framing(Protocol):
    """Takes a body off the wire."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the content in the next bytes of the wire."""

    def finish(self, headers: dict[str, str]) -> None:
        """Refuse a body that has not ended; put what came behind it among the *headers*."""


class Plain:
    """A body as it is."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the content in the next bytes of the wire."""
        return [data]

    def finish(self, headers: dict[str, str]) -> None:
        """Do nothing: Content-Length says where such a body ends."""


@dataclass
class Chunked:
    """A body in chunks of ``size;chunk-signature=...``, with trailers behind the empty one."""

    seal: Seal | None = None
    _wire: bytearray = field(default_factory=bytearray)
    _left: int | None = None  # of the chunk being read; None before its first line
    _signature: str = ""
    _hash: checksums.Digest = field(default_factory=hashlib.sha256)
    _ended: bool = False
    _decoded: int = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the content in the next bytes of the wire."""
        self._wire += data
        content = []
        while not self._ended and (piece := self._next()) is not None:
            content.append(piece)
        if self._ended and len(self._wire) > TRAILERS:
            raise incomplete("the trailers are too long")
        return content

    def _next(self) -> bytes | None:
        """Return content, perhaps none of it, or None when more of the wire is needed."""
        if self._left is None:
            return self._begin()
        if self._left == 0:
            return self._end()
        piece = bytes(self._wire[: self._left])
        del self._wire[: self._left]
        self._left -= len(piece)
        self._decoded += len(piece)
        if self.seal:
            self._hash.update(piece)
        return piece or None

    def _begin(self) -> bytes | None:
        end = self._wire.find(b"\r\n", 0, LINE)
        if end < 0:
            if len(self._wire) >= LINE:
                raise incomplete("a chunk has no size")
            return None
        size, _, extension = bytes(self._wire[:end]).decode("latin-1").partition(";")
        if not re.fullmatch(r"[0-9A-Fa-f]{1,16}", size.strip()):
            raise incomplete("a chunk has no size")
        del self._wire[: end + 2]
        self._signature = extension.partition("chunk-signature=")[2]
        self._left = int(size, 16)
        if self._left == 0:
            self._verify()
            self._ended = True
        return b""

    def _end(self) -> bytes | None:
        if len(self._wire) < 2:
            return None
        if self._wire[:2] != b"\r\n":
            raise incomplete("a chunk is longer than its size")
        del self._wire[:2]
        self._verify()
        self._left = None
        return b""

    def _verify(self) -> None:
        if self.seal:
            self.seal.check("PAYLOAD", (EMPTY, self._hash.digest().hex()), self._signature)
            self._hash = hashlib.sha256()

    def finish(self, headers: dict[str, str]) -> None:
        """Refuse a body that has not ended; put what came behind it among the *headers*."""
        if not self._ended:
            raise incomplete("the last chunk is missing")
        trailers = self._trailers()
        for name in self._checked(headers, trailers):
            headers.setdefault(name, trailers[name])  # a header is not overridden by its late copy
        encodings = [each.strip() for each in headers.pop("content-encoding", "").split(",")]
        if kept := [each for each in encodings if each and each != "aws-chunked"]:
            headers["content-encoding"] = ", ".join(kept)

    def _trailers(self) -> dict[str, str]:
        wire = bytes(self._wire)
        if wire == b"\r\n":
            return {}
        if not wire.endswith(b"\r\n\r\n"):
            raise incomplete("the trailers do not end")
        trailers: dict[str, str] = {}
        for line in wire[:-4].decode("latin-1").split("\r\n"):
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise incomplete("a trailer has no name")
            trailers.setdefault(name.strip().lower(), value.strip())
        return trailers

    def _checked(self, headers: Mapping[str, str], trailers: dict[str, str]) -> set[str]:
        """Return the names of the trailers that the request announced."""
        signature = trailers.pop("x-amz-trailer-signature", "")
        announced = {each.strip().lower() for each in headers.get("x-amz-trailer", "").split(",")} - {""}
        if not announced <= trailers.keys():
            raise incomplete("an announced trailer is missing")
        if self.seal and trailers:
            lines = "".join(f"{name}:{value}\n" for name, value in sorted(trailers.items()))
            self.seal.check("TRAILER", (hashlib.sha256(lines.encode()).hexdigest(),), signature)
        length = headers.get("x-amz-decoded-content-length")
        if length is not None and length.strip() != str(self._decoded):
            raise incomplete("it is not as long as X-Amz-Decoded-Content-Length says")
        return announced
