"""Reports: what a container tells of its work while it runs, read from the bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from atelier.contract.values import Value
from atelier.lambdas.domain.work import LOG, METRICS, RESULT, SAMPLES, Work
from atelier.lambdas.errors import TooLarge
from atelier.lambdas.ports.work import Files

LARGEST = 4 * 1024 * 1024
MOST_METRICS = 500
MOST_SAMPLES = 200
MOST_FILES = 10_000
AFTER_CHECKPOINTS = "checkpoints0"
"""A training may keep thousands of files in checkpoints/, which come first: what follows is listed."""


class Report(Value):
    """What there is of a report: keys of logs and samples, and measurements."""

    logs: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    metrics: tuple[Mapping[str, Any], ...] = ()
    result: Mapping[str, Any] | None = None


def read(work: Work, files: Files) -> Report:
    """Return a work's report as far as it is."""
    told = files.sizes(work.report, after=f"{work.report}{AFTER_CHECKPOINTS}")
    listed = [key.removeprefix(work.report) for key, _ in islice(told, MOST_FILES)]
    measured = _read(f"{work.report}{METRICS}", files) if METRICS in listed else b""
    return Report(
        logs=tuple(each for each in (LOG,) if each in listed),
        samples=tuple(each for each in listed if each.startswith(SAMPLES))[-MOST_SAMPLES:],
        metrics=tuple(thinned(list(_lines(measured)), MOST_METRICS)),
        result=result(work, files) if RESULT in listed else None,
    )


def result(work: Work, files: Files) -> Mapping[str, Any] | None:
    """Return what the container said at the end."""
    found = _document(_read(f"{work.report}{RESULT}", files))
    return found if isinstance(found, dict) else None


def _read(key: str, files: Files) -> bytes:
    try:
        return files.read(key, LARGEST) or b""
    except TooLarge:
        return b""


def _lines(body: bytes) -> Iterator[Mapping[str, Any]]:
    """Return what each line says; one that is broken says nothing."""
    for line in body.splitlines():
        found = _document(line)
        if isinstance(found, dict):
            yield found


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def thinned(values: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """Return at most so many of the values, evenly chosen; the first and the last are among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(number * (len(values) - 1) / (most - 1))] for number in range(most)]
