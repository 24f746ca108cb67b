r"""Prompts as the WebUI writes them: attention, chunks of 75 tokens, BREAK.

    (word)  [word]  (word:1.3)      more, less, that much attention; brackets nest
    \(  \)  \[  \]  \\              the characters themselves
    BREAK                           what follows starts a chunk of its own

Extra networks, prompt editing, alternation and AND change what is painted in ways this container does not
do: they are refused by name.
"""

import re
from collections.abc import Callable
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


def chunks(prompt: str, encode: Callable[[str], list[int]], comma: int) -> list[Chunk]:
    """Encode a prompt into chunks; *comma* is the token of one."""
    done: list[Chunk] = []
    chunk, reach = Chunk(), 0
    for part in parts(prompt):
        if part.text is None:
            done.append(chunk)
            chunk, reach = Chunk(), 0
            continue
        for token in encode(part.text):
            if len(chunk.ids) == CHUNK:
                kept = reach if reach and CHUNK - reach <= COMMA_REACH else CHUNK
                done.append(Chunk(chunk.ids[:kept], chunk.weights[:kept]))
                chunk, reach = Chunk(chunk.ids[kept:], chunk.weights[kept:]), 0
            chunk.ids.append(token)
            chunk.weights.append(part.weight)
            reach = len(chunk.ids) if token == comma else reach
    if chunk.ids or not done:
        done.append(chunk)
    if len(done) > MAX_CHUNKS:
        raise Invalid(f"a prompt may have at most {MAX_CHUNKS} chunks of {CHUNK} tokens, not {len(done)}")
    return done
