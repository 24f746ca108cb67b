"""CLIP's words: 256 bytes, the same at the end of a word, what merges of them make, and two marks.

The merges are those of OpenAI's CLIP (MIT licence, see README.md), which every Stable Diffusion 1 shares. A
checkpoint may bring merges of its own in its metadata; our tiny one brings the first of these.
"""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffusion.errors import Invalid

START, END = "<|startoftext|>", "<|endoftext|>"
#: The name under which a checkpoint's metadata holds its own merges, one a line.
METADATA = "clip_merges"
SHIPPED = Path(__file__).parent / "clip-merges.txt.gz"
WORD_END = "</w>"


def merges(count: int | None = None) -> list[str]:
    """Read CLIP's merges, or the first *count* of them: a merge builds on earlier ones alone."""
    return gzip.decompress(SHIPPED.read_bytes()).decode().splitlines()[:count]


def size(rules: Sequence[str]) -> int:
    """Return how many words these merges make."""
    return 2 * 256 + len(rules) + 2


def words(rules: Sequence[str]) -> dict[str, int]:
    """Return the number of each word that these merges make, as CLIP has it."""
    letters = alphabet()
    ordered = [*letters, *(f"{each}{WORD_END}" for each in letters)]
    ordered += [each.replace(" ", "") for each in rules]
    return {word: number for number, word in enumerate([*ordered, START, END])}


def alphabet() -> list[str]:
    """Return the printable stand-ins of the 256 bytes, in CLIP's order."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [each for each in range(256) if each not in printable]
    return [*map(chr, printable), *(chr(256 + number) for number in range(len(others)))]


def of_checkpoint(metadata: Mapping[str, str], entries: int) -> list[str]:
    """Return the merges that fit a checkpoint's text encoder: its own, or CLIP's."""
    rules = metadata[METADATA].splitlines() if METADATA in metadata else merges()
    if size(rules) != entries:
        whose = "its metadata describes" if METADATA in metadata else "CLIP has"
        raise Invalid(f"the checkpoint's text encoder knows {entries} words, but {whose} {size(rules)}")
    if not all(each.count(" ") == 1 for each in rules):
        raise Invalid(f"the checkpoint's metadata {METADATA} must hold two words a line")
    return rules
