"""What the command says: tables and times for people, one JSON object for programs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 100
COLOURS = {
    "Succeeded": "green",
    "approved": "green",
    "InService": "green",
    "published": "green",
    "running": "green",
    "created": "green",
    "updated": "green",
    "failed": "red",
    "Failed": "red",
    "rejected": "red",
    "InProgress": "yellow",
    "pending": "yellow",
    "building": "yellow",
    "NotStarted": "dim",
    "retired": "dim",
    "superseded": "dim",
    "stopped": "dim",
}


def console(*, stderr: bool = False) -> Console:
    """Return the terminal, at most 100 columns of it, so that a table reads alike everywhere."""
    probe = Console(stderr=stderr, highlight=False)
    width = min(probe.width, WIDTH) if probe.is_terminal else WIDTH
    return Console(stderr=stderr, highlight=False, width=width, soft_wrap=False)


def emit(document: Any) -> None:
    """Write one JSON object on standard output."""
    sys.stdout.write(json.dumps(document, default=_plain, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str | Text]], *, title: str | None = None
) -> Table:
    """Return a plain table; the last column takes what is left and wraps."""
    shown = any(headings)
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=shown)
    for index, heading in enumerate(headings):
        made.add_column(heading, overflow="fold", no_wrap=index == 0)
    for row in rows:
        made.add_row(*row)
    return made


def status(word: str) -> Text:
    """Return a status in its colour."""
    return Text(word, style=COLOURS.get(word, ""))


def duration(seconds: float) -> str:
    """Return a time span as people say it: ``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago something was, or a dash when it never was."""
    if moment is None:
        return "-"
    seconds = ((now or datetime.now(UTC)) - moment.astimezone(UTC)).total_seconds()
    return "now" if seconds < 1 else f"{duration(seconds)} ago"


def short(identifier: str) -> str:
    """Return enough of a hash or an id to recognise it."""
    bare = identifier.removeprefix("sha256:")
    return bare[:8] if bare else "-"


def number(value: Any, places: int = 2) -> str:
    """Return a measured number, or a dash when it was not measured."""
    try:
        return f"{float(value):,.{places}f}"
    except (TypeError, ValueError):
        return "-"


def program() -> str:
    """Return what reaches this command from the user's shell: its name, or its path where PATH lacks it."""
    own, found = Path(sys.argv[0]), shutil.which("atelier")
    if own.name != "atelier" or (found and Path(found).resolve() == own.resolve()):
        return "atelier"
    inside = own.absolute().is_relative_to(Path.cwd())
    return str(own.absolute().relative_to(Path.cwd()) if inside else own.absolute())
