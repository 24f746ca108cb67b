"""Manifests: what is known of a dataset's files, some hundred in each object, for there may be many."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from itertools import count

from atelier.contract.api.datasets import MOST_AT_ONCE
from atelier.lambdas.domain.datasets import MOST_PARTS, Dataset, Entry, entry
from atelier.lambdas.errors import Invalid
from atelier.lambdas.ports.work import Files

LARGEST = 2 * 1024 * 1024


def read(dataset: Dataset, number: int, *, files: Files) -> list[Entry]:
    """Return what a manifest says."""
    body = files.read(dataset.manifest(number), LARGEST)
    return [entry(each) for each in json.loads(body)] if body else []


def known(dataset: Dataset, *, files: Files) -> set[str]:
    """Return the places of all files that are known."""
    return {each.path for number in range(dataset.parts) for each in read(dataset, number, files=files)}


def write(dataset: Dataset, number: int, entries: Collection[Entry], *, files: Files) -> None:
    """Keep a manifest."""
    if number >= MOST_PARTS:
        raise Invalid(f"dataset {dataset.name} has too many files: at most {MOST_PARTS * MOST_AT_ONCE}")
    rows = [{name: value for name, value in asdict(each).items() if value} for each in entries]
    files.write(dataset.manifest(number), json.dumps(rows).encode(), "application/json")


def replace_all(dataset: Dataset, entries: Sequence[Entry], *, files: Files) -> int:
    """Keep all that is known anew; return in how many manifests."""
    ordered = sorted(entries, key=lambda each: each.path)
    pages = list(_pages(ordered))
    for number, page in zip(count(), pages, strict=False):
        write(dataset, number, page, files=files)
    return len(pages)


def _pages(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), MOST_AT_ONCE):
        yield entries[start : start + MOST_AT_ONCE]
