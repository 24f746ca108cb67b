"""`atelier demo artist`: from a token to a picture, on a terminal or in a log."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from rich.text import Text

from atelier.cli.screen import Lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from atelier.artist import Result
    from atelier.client.pictures import Picture
    from atelier.stacks import Event

UPPER_HALF = "\N{UPPER HALF BLOCK}"
COLUMNS = 64


class Easel(Lines):
    """Tells of the artist's demo; turns a wheel on a terminal while something goes on."""

    def stack(self, event: Event) -> None:
        """Tell of a resource that failed, and of the image, whose build takes long the first time."""
        if event.status == "BUILD_IN_PROGRESS":
            self.console.print("  The image of endpoints is built; the first time takes some minutes")
        super().stack(event)

    @contextlib.contextmanager
    def during(self, text: str) -> Iterator[None]:
        """Say what is going on."""
        if not self.console.is_terminal:
            self.console.print(f"  {text}", markup=False, soft_wrap=True)
            yield
            return
        with self.console.status(Text(text)):
            yield

    def rest(self, endpoint: str) -> bool:
        """Ask a person whether the endpoint shall rest; without one, and with --yes, it shall."""
        if self.yes or not (self.console.is_terminal and sys.stdin.isatty()):
            return True
        return click.confirm(f"Scale {endpoint} to no instances now?", default=True, err=self.console.stderr)


def conclude(console: Console, result: Result, seconds: Table) -> None:
    """Show the pictures, how they were made, and where the time went."""
    console.print()
    for painting in (result.first, result.second):
        if console.is_terminal and console.color_system in {"truecolor", "256"}:
            console.print(blocks(painting.picture), soft_wrap=True)
        console.print(str(painting.path), style="bold", markup=False, soft_wrap=True)
        console.print(painting.infotext, "", sep="\n", markup=False, soft_wrap=True)
    console.print(seconds, "")
    console.print("Go on with your own token:", style="bold")
    console.print("  TOKEN=$(atelier tokens create artist)", markup=False)
    header = '--header @<(echo "x-api-key: $TOKEN")'
    console.print(f"  curl {header} {result.api_url}inferences", markup=False, soft_wrap=True)
    console.print("Generate from a WebUI (AUTOMATIC1111 1.10.1 or Forge):", style="bold")
    console.print("  cp -r extension <the WebUI's folder>/extensions/atelier", markup=False, soft_wrap=True)
    console.print("  then start it, and add an account in its tab Atelier: that token, and the API URL")
    console.print(f"  {result.api_url}", markup=False, soft_wrap=True)
    console.print("The local cloud goes on running; `atelier down` stops it and keeps its state.")


def blocks(picture: Picture) -> Text:
    """Draw a picture with half blocks: each shows two points, one above the other."""
    width = min(COLUMNS, picture.width)
    height = max(2, picture.height * width // picture.width // 2 * 2)
    across = [at * picture.width // width for at in range(width)]
    down = [at * picture.height // height for at in range(height)]
    drawn = Text()
    for upper, lower in zip(down[::2], down[1::2], strict=True):
        for x in across:
            style = f"{_colour(picture, x, upper)} on {_colour(picture, x, lower)}"
            drawn.append(UPPER_HALF, style=style)
        drawn.append("\n")
    return drawn


def _colour(picture: Picture, x: int, y: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*picture.colour(x, y))
