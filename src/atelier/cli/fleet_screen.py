"""`atelier demo fleet`: who answers while models change, on a terminal or in a log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from rich.live import Live
from rich.markup import escape
from rich.text import Text

from atelier.cli import output
from atelier.cli.screen import LINE_EVERY, Lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from atelier.fleet_demo import Result, Scene
    from atelier.stacks import Event


class Window(Lines):
    """Tells of the fleet's demo; on a terminal a table changes in its place."""

    def __init__(self, console: Console, *, yes: bool) -> None:
        super().__init__(console, yes=yes)
        self._live: Live | None = None
        self._told = 0.0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self._still()

    def step(self, text: str) -> None:
        """Say what was done, below what was seen until then."""
        self._still()
        super().step(text)

    def stack(self, event: Event) -> None:
        """Tell of a resource that failed, and of the image, whose build takes long the first time."""
        if event.status == "BUILD_IN_PROGRESS":
            self.console.print("  The image of the fleet is built; the first time takes some minutes")
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

    def scene(self, scene: Scene) -> None:
        """Show who answers; in a log one line now and then."""
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(console=self.console, refresh_per_second=4)
                self._live.start()
            self._live.update(drawn(scene))
        elif time.monotonic() - self._told > LINE_EVERY:
            self._told = time.monotonic()
            self.console.print(f"    {line(scene)}", markup=False, soft_wrap=True)

    def _still(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def drawn(scene: Scene) -> Table:
    """Return a scene as a table."""
    status = scene.status
    rows = [
        ("serving", Text(status.serving["name"] if status.serving else "nothing yet", style="green")),
        ("trying", Text(status.trying["name"] if status.trying else "-", style="yellow")),
        ("tasks", Text(f"{status.running} running, {status.pending} pending, {status.desired} wanted")),
        ("rollout", Text(status.rollout.lower().replace("_", " "))),
        *((f"answers of {name}", Text(f"{count:,}")) for name, count in scene.answered.items()),
        ("failures", Text(str(scene.failures), style="red" if scene.failures else "green")),
        ("since it landed", Text(output.duration(scene.seconds))),
    ]
    return output.table(["", ""], rows)


def line(scene: Scene) -> str:
    """Return a scene in one line."""
    status = scene.status
    answered = ", ".join(f"{name} {count:,}" for name, count in scene.answered.items()) or "none yet"
    tried = f", trying {status.trying['name']}" if status.trying else ""
    serving = status.serving["name"] if status.serving else "nothing"
    return f"serving {serving}{tried}; answers: {answered}; failures: {scene.failures}"


def conclude(console: Console, result: Result, seconds: Table) -> None:
    """Show what the models said, who was refused, and what to try next."""
    console.print()
    for each in result.answers:
        console.print(f"[bold]{escape(each.model)}[/], {each.seconds:.0f} s after it landed:", soft_wrap=True)
        console.print(f"  {' '.join(each.text.split())}", markup=False, soft_wrap=True)
    console.print(f"[bold]{escape(result.refused.name)}[/] was refused: {escape(result.refused.reason)}\n")
    answered = ", ".join(f"{name} {count:,}" for name, count in result.answered.items())
    console.print(
        f"Requests answered meanwhile: {answered}; failures: {len(result.failures)}\n", markup=False
    )
    console.print(seconds, "")
    console.print("Ask it yourself:", style="bold")
    body = '{"prompt": "The with statement", "max_new_tokens": 40}'
    header = "--header 'Content-Type: application/json'"
    console.print(f"  curl {header} --data '{body}' {result.url}/invocations", markup=False, soft_wrap=True)
    console.print(f"  {output.program()} fleet history", markup=False)
    console.print(f"  {output.program()} fleet rollback", markup=False)
    console.print(f"The local cloud goes on running; `{output.program()} down` stops it and keeps its state.")
