r"""Prompts as the WebUI writes them: attention, chunks of 75 tokens, BREAK.

    (word)  [word]  (word:1.3)      more, less, that much attention; brackets nest
    \(  \)  \[  \]  \\              the characters themselves
    BREAK                           what follows starts a chunk of its own

Extra networks, prompt editing, alternation and AND change what is painted in ways this container does not
do: they are refused by name.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from diffusion.errors import Invalid

#: Tokens of a chunk; with its two marks it fills CLIP's 77.
CHUNK = 75
#: A chunk that is full ends at its last comma, if that is no further back.
COMMA_REACH = 20
MORE, LESS = 1.1, 1 / 1.1
MAX_CHUNKS = 16

REFUSED = {
    "an extra network": re.compile(r"<\w+:[^>]+>"),
    "prompt editing": re.compile(r"(?<!\\)\[[^\[\]]*:\s*\d*\.?\d+\s*\]"),
    "alternation": re.compile(r"(?<!\\)\[[^\[\]]*\|[^\[\]]*\]"),
    "the composition": re.compile(r"\bAND\b"),
}

TOKEN = re.compile(
    r"\\(?P<escaped>[()\[\]\\])|(?P<open>[(\[])|:\s*(?P<weight>[+-]?\d*\.?\d+)\s*\)|(?P<close>[)\]])"
    r"|(?P<cut>\bBREAK\b)|(?P<text>\\|[^\\()\[\]:B]+|:|B)"
)


@dataclass
class Part:
    """A piece of a prompt and how much attention it gets; a cut has no text."""

    text: str | None
    weight: float = 1.0


@dataclass
class Chunk:
    """At most 75 tokens, with a weight each."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    learned: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A word with vectors of its own, found in a prompt by the tokens of its name."""

    name: str
    ids: tuple[int, ...]
    length: int


def check(name: str, prompt: str) -> None:
    """Refuse a prompt that says more than this container understands."""
    for what, pattern in REFUSED.items():
        if found := pattern.search(prompt):
            raise Invalid(f"params.{name} has {what} {found[0]!r}, which this container does not support")


def parts(prompt: str) -> list[Part]:
    """Take a prompt apart by attention."""
    found: list[Part] = []
    opened: list[tuple[str, int]] = []
    for token in TOKEN.finditer(prompt):
        kind = token.lastgroup or ""
        if kind == "open":
            opened.append((token[0], len(found)))
        elif kind in {"close", "weight"} and opened and opened[-1][0] == ("[" if token[0] == "]" else "("):
            start = opened.pop()[1]
            factor = float(token["weight"]) if kind == "weight" else MORE if token[0] == ")" else LESS
            _weigh(found[start:], factor)
        elif kind == "cut":
            found.append(Part(None))
        else:
            found.append(Part(token["escaped"] or token[0]))
    for bracket, start in opened:  # the WebUI closes at the end what nobody closed
        _weigh(found[start:], MORE if bracket == "(" else LESS)
    return _joined(found)


def _weigh(found: list[Part], factor: float) -> None:
    for each in found:
        each.weight *= factor


def _joined(found: list[Part]) -> list[Part]:
    """Put neighbours of the same weight together: a word must not be cut where a character was special."""
    joined: list[Part] = []
    for each in found:
        last = joined[-1] if joined else None
        if last and last.text is not None and each.text is not None and last.weight == each.weight:
            last.text += each.text
        else:
            joined.append(each)
    return joined


def chunks(
    prompt: str, encode: Callable[[str], list[int]], comma: int, learned: Sequence[Learned] = ()
) -> list[Chunk]:
    """Encode a prompt into chunks; *comma* is the token of one."""
    filling = _Filling(comma, learned)
    for part in parts(prompt):
        if part.text is None:
            filling.cut()
        else:
            filling.add(encode(part.text), part.weight)
    if filling.chunk.ids or not filling.done:
        filling.cut()
    if len(filling.done) > MAX_CHUNKS:
        raise Invalid(
            f"a prompt may have at most {MAX_CHUNKS} chunks of {CHUNK} tokens, not {len(filling.done)}"
        )
    return filling.done


class _Filling:
    """Chunks on their way: those that are done, and the one that is being filled."""

    def __init__(self, comma: int, learned: Sequence[Learned]) -> None:
        self._comma = comma
        # the longest name first: `cat` is part of `cat ears`
        self._learned = sorted(learned, key=lambda each: len(each.ids), reverse=True)
        self.done: list[Chunk] = []
        self.chunk, self._reach = Chunk(), 0

    def cut(self) -> None:
        """End the chunk here."""
        self.done.append(self.chunk)
        self.chunk, self._reach = Chunk(), 0

    def add(self, tokens: list[int], weight: float) -> None:
        """Add the tokens of a part."""
        position = 0
        while position < len(tokens):
            if word := self._learned_at(tokens, position):
                self._add_word(word, weight)
                position += len(word.ids)
            else:
                self._add_token(tokens[position], weight)
                position += 1

    def _learned_at(self, tokens: list[int], position: int) -> Learned | None:
        for each in self._learned:
            if each.ids and tuple(tokens[position : position + len(each.ids)]) == each.ids:
                return each
        return None

    def _add_word(self, word: Learned, weight: float) -> None:
        """Add a learned word: all of it in one chunk, its tokens but places to put vectors in."""
        if len(self.chunk.ids) + word.length > CHUNK:
            self.cut()
        self.chunk.learned[len(self.chunk.ids)] = word.name
        self.chunk.ids += [0] * word.length
        self.chunk.weights += [weight] * word.length

    def _add_token(self, token: int, weight: float) -> None:
        if len(self.chunk.ids) == CHUNK:
            self._wrap()
        self.chunk.ids.append(token)
        self.chunk.weights.append(weight)
        self._reach = len(self.chunk.ids) if token == self._comma else self._reach

    def _wrap(self) -> None:
        """Begin a new chunk, with what followed the last comma if that is not far back."""
        kept = self._reach if self._reach and CHUNK - self._reach <= COMMA_REACH else CHUNK
        full, words = self.chunk, self.chunk.learned
        stays = {place: name for place, name in words.items() if place < kept}
        moves = {place - kept: name for place, name in words.items() if place >= kept}
        self.done.append(Chunk(full.ids[:kept], full.weights[:kept], stays))
        self.chunk, self._reach = Chunk(full.ids[kept:], full.weights[kept:], moves), 0
