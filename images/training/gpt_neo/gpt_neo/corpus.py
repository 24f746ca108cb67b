"""The text of a training channel, and a held-out part of it that training never sees."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gpt_neo.errors import Failure

#: The channel that is no text, but what jobs share.
SHARED = "shared"
#: Less text than this makes no two parts worth measuring.
MINIMUM_BYTES = 1000
#: More held-out text than this only makes evaluations slow.
HELD_OUT_BYTES = 256 * 1024
#: A block has about this many pieces; text that makes too few such blocks is cut into single pieces.
BLOCK_PIECES = 8
ENOUGH_BLOCKS = 20
#: A longer paragraph is cut at its lines, a longer line anywhere.
PIECE_LENGTH = 1000
#: Shorter pieces (headings, braces) may stand on both sides: they repeat by nature and tell nothing.
TELLING_LENGTH = 40


@dataclass(frozen=True, kw_only=True)
class Document:
    """One file of text."""

    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Runs of text to learn from, blocks to measure on, and the hash of all that was read."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]
    sha256: str


def channel(data: Path) -> Path:
    """Find the folder of the training channel below *data*: `training`, or the only one there is."""
    found = sorted(each for each in data.iterdir() if each.is_dir()) if data.is_dir() else []
    found = [each for each in found if each.name != SHARED]
    named = [each for each in found if each.name == "training"] or found
    if len(named) != 1:
        raise Failure(
            f"expected a data channel called training; found {_listed(each.name for each in found)}"
        )
    return named[0]


def shared(data: Path) -> Path | None:
    """Find where jobs leave each other what they have made of a text, if they share anything."""
    folder = data / SHARED
    return folder / "caches" / "gpt-neo" if folder.is_dir() else None


def read(folder: Path) -> list[Document]:
    """Read every file below *folder* as UTF-8 text; empty ones and hidden ones say nothing."""
    paths = sorted(each for each in folder.rglob("*") if each.is_file())
    visible = [each for each in paths if not _is_hidden(each.relative_to(folder))]
    documents = [Document(name=str(each.relative_to(folder)), text=_text(each, folder)) for each in visible]
    size = sum(len(each.text.encode()) for each in documents if each.text.strip())
    if size < MINIMUM_BYTES:
        raise Failure(
            f"channel {folder.name} holds {size} bytes of text in "
            f"{_listed(each.name for each in documents)}; training needs at least {MINIMUM_BYTES}"
        )
    return [each for each in documents if each.text.strip()]


def split(documents: Iterable[Document], *, share: float, seed: int) -> Corpus:
    """Hold out about *share* of the text, so that nothing of it is left to learn from.

    Whether a block is held out follows from its own words: copies of it land on the same side, and it stays
    there when the data grows, so the scores of two versions compare. Paragraphs and lines of it that the rest
    repeats are removed from the rest.
    """
    documents = list(documents)
    cut = _cut([each.text for each in documents])
    total = sum(len(block.encode()) for each in cut for block in each)
    chosen = _choose([block for each in cut for block in each], min(share, HELD_OUT_BYTES / total), seed)
    secret = {key for block in chosen for key in _telling(block)}
    training = tuple(run for each in cut for run in _runs(each, chosen, secret))
    if not training:
        raise Failure("the text repeats itself: nothing is left to learn from once a part of it is held out")
    return Corpus(training=training, held_out=tuple(chosen), sha256=_fingerprint(documents))


def pieces(text: str) -> Iterator[str]:
    """Cut *text* at blank lines, long paragraphs at their lines; together the pieces are the text."""
    for paragraph in _paragraphs(text):
        if len(paragraph) <= PIECE_LENGTH:
            yield paragraph
            continue
        for line in paragraph.splitlines(keepends=True):
            yield from (line[start : start + PIECE_LENGTH] for start in range(0, len(line), PIECE_LENGTH))


def blocks(text: str, size: int) -> Iterator[str]:
    """Group the pieces of *text*, about *size* in a block; a block ends where a piece's own hash says so.

    An edit therefore changes its own block only, and no border behind it.
    """
    gathered: list[str] = []
    for piece in pieces(text):
        gathered.append(piece)
        if _number(_key(piece)) % size == 0 or len(gathered) == 4 * size:
            yield "".join(gathered)
            gathered = []
    if gathered:
        yield "".join(gathered)


def _cut(texts: list[str]) -> list[list[str]]:
    cut = [list(blocks(each, BLOCK_PIECES)) for each in texts]
    return cut if sum(map(len, cut)) >= ENOUGH_BLOCKS else [list(blocks(each, 1)) for each in texts]


def _paragraphs(text: str) -> list[str]:
    return re.split(r"(?<=\n\n)(?=[^\n])", text)


def _choose(candidates: list[str], share: float, seed: int) -> dict[str, None]:
    """Pick blocks by a number drawn from their words; at least one."""
    drawn = {each: _number(f"{seed} {_key(each)}") / 2**64 for each in candidates if each.strip()}
    if len(drawn) < 2:
        raise Failure(
            "the text is one paragraph, or the same one over and over: no part of it can be held out"
        )
    return dict.fromkeys(each for each in drawn if drawn[each] < share) or {
        min(drawn, key=drawn.__getitem__): None
    }


def _telling(block: str) -> Iterator[str]:
    """Name the paragraphs and lines of *block* that would give it away."""
    return (
        key for part in (*_paragraphs(block), *block.splitlines()) if len(key := _key(part)) >= TELLING_LENGTH
    )


def _runs(cut: list[str], chosen: dict[str, None], secret: set[str]) -> Iterator[str]:
    """Join the blocks that follow each other and are not held out, without what gives held-out ones away."""
    run = ""
    for block in cut:
        if block in chosen:
            yield from _worth(run)
            run = ""
        else:
            run += _without(block, secret)
    yield from _worth(run)


def _without(block: str, secret: set[str]) -> str:
    kept = (each for each in _paragraphs(block) if _key(each) not in secret)
    return "".join(
        line for each in kept for line in each.splitlines(keepends=True) if _key(line) not in secret
    )


def _worth(run: str) -> Iterator[str]:
    if run.strip():
        yield run


def _text(path: Path, folder: Path) -> str:
    """Decode one file; whatever is not text is named, never guessed at."""
    name = path.relative_to(folder)
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Failure(
            f"{name} in channel {folder.name} is not UTF-8 text: "
            f"byte {error.start} is {raw[error.start]:#04x}"
        ) from None
    if "\0" in text:
        raise Failure(
            f"{name} in channel {folder.name} is binary, not UTF-8 text: byte {raw.index(0)} is NUL"
        )
    return text.replace("\r\n", "\n")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _listed(names: Iterable[str], limit: int = 5) -> str:
    """List *names* for a message, however many there are."""
    given = list(names)
    shown = ", ".join(given[:limit]) or "nothing"
    return f"{shown} and {len(given) - limit} more" if len(given) > limit else shown


def _key(text: str) -> str:
    """Say what *text* is, whatever its white space."""
    return " ".join(text.split())


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def _fingerprint(documents: Iterable[Document]) -> str:
    """Hash what was read, file by file, so that one data version has one name."""
    total = hashlib.sha256()
    for each in documents:
        total.update(f"{each.name}\0{hashlib.sha256(each.text.encode()).hexdigest()}\n".encode())
    return total.hexdigest()
