"""`atelier synth`: the templates as CloudFormation reads them."""

from __future__ import annotations

from pathlib import Path

import click

from atelier.cli import output
from atelier.cli.errors import Command


@click.command(cls=Command, examples=["atelier synth", "atelier synth --out /tmp/templates --quiet"])
@click.option(
    "--out",
    default="build/templates",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write one file for each stack.",
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing.")
def synth(out: Path, quiet: bool) -> None:
    """Render every CloudFormation template; the same source gives the same bytes."""
    from atelier.synth import render

    written = render(out)
    if not quiet:
        for path in written:
            output.console().print(f"{path}  {path.stat().st_size:,} bytes", soft_wrap=True, markup=False)
