"""The checksums of S3, computed while the bytes pass."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Protocol

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")


class Digest(Protocol):
    """What `hashlib` gives, as far as it is needed here."""

    def update(self, data: bytes, /) -> None:
        """Take in the next bytes."""

    def digest(self) -> bytes:
        """Return the digest of all bytes so far."""


class Crc32:
    """CRC-32, by zlib."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        """Take in the next bytes."""
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        """Return the digest of all bytes so far."""
        return self._value.to_bytes(4, "big")


class Reflected:
    """A reflected CRC of any width, a byte at a time: the standard library has only CRC-32."""

    def __init__(self, polynomial: int, width: int) -> None:
        self._table = _table(polynomial)
        self._ones = (1 << width) - 1
        self._width = width
        self._value = self._ones

    def update(self, data: bytes, /) -> None:
        """Take in the next bytes."""
        value, table = self._value, self._table
        for byte in data:
            value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
        self._value = value

    def digest(self) -> bytes:
        """Return the digest of all bytes so far."""
        return (self._value ^ self._ones).to_bytes(self._width // 8, "big")


@cache
def _table(polynomial: int) -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ polynomial if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


MAKERS: dict[str, Callable[[], Digest]] = {
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": hashlib.sha256,
    "CRC32": Crc32,
    "CRC32C": lambda: Reflected(0x82F63B78, 32),
    "CRC64NVME": lambda: Reflected(0x9A6C9329AC4BC9B5, 64),
}


def canonical(name: str) -> str:
    """Return an algorithm's name as ministack keeps it."""
    return name.upper().replace("_", "")


def of(blocks: Iterable[bytes], name: str) -> bytes:
    """Return one digest of all *blocks*."""
    digest = MAKERS[name]()
    for block in blocks:
        digest.update(block)
    return digest.digest()
