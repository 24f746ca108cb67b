"""What checkpoints are told apart by, in Atelier and in the WebUI."""

import hashlib
from dataclasses import dataclass

from .checkpoint import Checkpoint

#: The WebUI's oldest hash looks at this part of a file alone.
LEGACY_START, LEGACY_LENGTH = 0x100000, 0x10000
PIECE = 1024 * 1024


@dataclass(frozen=True)
class Hashes:
    """A file's SHA-256, and the WebUI's older hash of a small part of it."""

    sha256: str
    legacy: str

    @property
    def short(self) -> str:
        """What the WebUI shows, and writes into pictures."""
        return self.sha256[:10]


class Following:
    """Hashes of a file as it is written, piece after piece from its beginning."""

    def __init__(self) -> None:
        self._whole, self._legacy, self._done = hashlib.sha256(), hashlib.sha256(), 0

    def add(self, piece: memoryview) -> None:
        """Go on with the next piece."""
        self._whole.update(piece)
        begin = max(0, LEGACY_START - self._done)
        end = max(0, LEGACY_START + LEGACY_LENGTH - self._done)
        self._legacy.update(piece[begin:end])
        self._done += len(piece)

    def done(self) -> Hashes:
        """Return the hashes of all that was added."""
        return Hashes(self._whole.hexdigest(), self._legacy.hexdigest()[:8])


def of(checkpoint: Checkpoint) -> Hashes:
    """Hash a file."""
    following, buffer = Following(), memoryview(bytearray(PIECE))
    for start in range(0, checkpoint.size, PIECE):
        piece = buffer[: min(PIECE, checkpoint.size - start)]
        checkpoint.read(piece, start)
        following.add(piece)
    return following.done()
