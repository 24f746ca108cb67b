"""`atelier merge`: one checkpoint of several, on this machine and without a cloud."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from atelier.cli import output
from atelier.cli.connect import as_json
from atelier.cli.errors import Command, Interrupted
from atelier.merging.recipe import PARENTS, PRECISIONS, WEIGHTED_SUM, Recipe

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import Console

    from atelier.merging.merge import Result

SHOWN = 5
"""Keys that are listed on a terminal; --json has them all."""


@click.command(
    cls=Command,
    examples=[
        "atelier merge a.safetensors b.safetensors --multiplier 0.3 --output ab.safetensors",
        "atelier merge a.safetensors b.safetensors c.safetensors --method add_difference --output d",
        "atelier merge a.safetensors --method no_interpolation --precision fp16 --output half.safetensors",
    ],
)
@click.argument("checkpoints", metavar="A [B [C]]", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--method", type=click.Choice(list(PARENTS)), default=WEIGHTED_SUM, show_default=True)
@click.option(
    "--multiplier",
    type=click.FloatRange(0, 1),
    default=Recipe.multiplier,
    show_default=True,
    help="How much of B is in the sum, or of B's difference to C is added.",
)
@click.option("--output", "out", required=True, type=click.Path(path_type=Path), help="The file to write.")
@click.option(
    "--precision",
    type=click.Choice(list(PRECISIONS)),
    help="What numbers are written as [default: as A's are].",
)
@as_json
def merge(
    checkpoints: tuple[Path, ...],
    method: str,
    multiplier: float,
    out: Path,
    precision: str | None,
    as_json: bool,
) -> None:
    """Merge the .safetensors checkpoints A, B and C as a WebUI does, in little memory.

    weighted_sum takes two, add_difference three, and no_interpolation one, to write it in another precision.
    A file that --output names is replaced when the merge is done; until then it stays what it was.
    """
    # imported late: numpy takes a moment, and `atelier --help` needs none of it
    from atelier.merging import merge as merging

    if len(checkpoints) != PARENTS[method]:
        raise click.UsageError(f"{method} takes {PARENTS[method]} of them, not {len(checkpoints)}")
    recipe = Recipe(method, multiplier, precision)
    parents = [merging.Parent(each, str(each)) for each in checkpoints]
    start = time.monotonic()
    with terminable(), shown(output.console(stderr=True)) as progress:
        result = merging.merge(recipe, parents, out, progress=progress)
    if as_json:
        output.emit({**document(result), "seconds": round(time.monotonic() - start, 2)})
    else:
        conclude(output.console(), result, time.monotonic() - start)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Clean up when this process is told to end, as Ctrl-C does."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Interrupted("ended by SIGTERM; nothing was written")

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing was written") from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def shown(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show on a terminal how far the merge is; a log needs no bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Reading", total=None)
        yield lambda done, of: bar.update(task, description="Merging", completed=done, total=of)


def document(result: Result) -> dict[str, Any]:
    """Return the result as one JSON object."""
    from atelier.merging.metadata import RECIPE

    return {
        "output": str(result.path),
        "size": result.size,
        "sha256": result.hashes and result.hashes.sha256,
        "hash": result.hashes and result.hashes.short,
        "legacy_hash": result.hashes and result.hashes.legacy,
        "merged": result.report.merged,
        "kept": result.report.kept,
        "dropped": result.report.dropped,
        "partial": result.report.partial,
        "recipe": json.loads(result.metadata[RECIPE]),
    }


def conclude(console: Console, result: Result, seconds: float) -> None:
    """Say what was made, and which keys were not merged."""
    report = result.report
    console.print(
        f"{result.path}  {result.size:,} bytes in {output.duration(seconds)}", soft_wrap=True, markup=False
    )
    if result.hashes:
        console.print(f"SHA-256 {result.hashes.sha256}; a WebUI shows {result.hashes.short}", soft_wrap=True)
    if report.merged:
        console.print(f"{report.merged} keys merged")
    for told, names in (
        ("kept as A's", report.kept),
        ("left out, for A lacks them", report.dropped),
        (f"merged in part, for A is an {report.kind} model", report.partial),
    ):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            line = f"{len(names)} {told}: {', '.join(names[:SHOWN])}{more}"
            console.print(line, soft_wrap=True, markup=False)
