"""The demo on a terminal: a live table of stages; and in a log: one line for each thing that happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from atelier.cli import output
from atelier.cli.pipeline import facts
from atelier.client.following import Finished, Learned, Moved
from atelier.demo import Decision

if TYPE_CHECKING:
    from rich.console import Console

    from atelier.client.following import Event
    from atelier.client.pipelines import Action, Execution
    from atelier.client.training import Progress
    from atelier.stacks import Event as StackEvent

LINE_EVERY = 5.0
"""Seconds between two lines about the training job: a log need not hold every step."""


class Lines:
    """Tells the demo in lines; decides as it was told beforehand, or not at all."""

    def __init__(self, console: Console, *, yes: bool) -> None:
        self.console = console
        self.yes = yes
        self._spoke = 0.0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""

    def step(self, text: str) -> None:
        """Say what was done."""
        self.console.print(f"[green]✓[/] {escape(text)}", soft_wrap=True)

    def warn(self, text: str) -> None:
        """Say what a person should know."""
        self.console.print(f"[yellow]![/] {escape(text)}", soft_wrap=True)

    def stack(self, event: StackEvent) -> None:
        """Tell of a resource that failed; what went well is told by the stack's own line."""
        if event.status.endswith("_FAILED"):
            self.warn(f"{event.stack}: {event.resource} ({event.type}) failed: {event.reason}")

    def event(self, event: Event) -> None:
        """Tell of the pipeline."""
        if isinstance(event, Moved):
            self._moved(event.action)
        elif isinstance(event, Learned) and time.monotonic() - self._spoke > LINE_EVERY:
            self._spoke = time.monotonic()
            self.console.print(f"    {progress(event.progress)}", markup=False, soft_wrap=True)

    def _moved(self, action: Action) -> None:
        said = action.reason or action.summary
        status = "waits for approval" if action.is_waiting else action.status
        took = f" in {output.duration(action.seconds)}" if action.status != "InProgress" else ""
        line = f"  {action.stage}: {status}{took}" + (f" ({said})" if said else "")
        self.console.print(line, markup=False, soft_wrap=True)

    def decide(self, execution: Execution, action: Action) -> Decision | None:
        """Show the facts; approve when told so beforehand."""
        self.console.print(card(execution, action))
        return Decision(approve=True, comment="approved by atelier demo --yes") if self.yes else None

    def clear_way(self, execution: Execution) -> bool:
        """Reject an earlier run when approval was given beforehand: the newer one is what is wanted."""
        return self.yes


class Screen(Lines):
    """Draws the stages on a terminal, and asks the person before it."""

    def __init__(self, console: Console, *, yes: bool) -> None:
        super().__init__(console, yes=yes)
        self._live: Live | None = None
        self._execution: Execution | None = None
        self._progress: Progress | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self._still()

    def event(self, event: Event) -> None:
        """Draw the new state."""
        self._execution = event.execution
        if isinstance(event, Learned):
            self._progress = event.progress
        if self._live is None:
            self._live = Live(get_renderable=self._draw, console=self.console, refresh_per_second=4)
            self._live.start()
        if isinstance(event, Finished):
            self._still()

    def _still(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self) -> Group:
        parts = list(self._parts())
        return Group(*parts)

    def _parts(self) -> Iterator[Table]:
        if self._execution is None:
            return
        rows = [
            (
                action.stage,
                output.status("waits for you" if action.is_waiting else action.status),
                output.duration(action.seconds) if action.started else "-",
                Text(action.reason or action.summary or ""),
            )
            for action in self._execution.actions
        ]
        yield output.table(["STAGE", "STATUS", "TOOK", ""], rows)
        if self._progress is not None:
            bar = ProgressBar(total=self._progress.steps, completed=self._progress.step, width=24)
            line = Table.grid(padding=(0, 1))
            line.add_row(bar, progress(self._progress))
            yield line

    def decide(self, execution: Execution, action: Action) -> Decision | None:
        """Show the facts and ask."""
        self._still()
        if decision := super().decide(execution, action):
            return decision
        word = self._ask("Approve this model?", {"y": "yes", "n": "no", "l": "later"})
        if word == "l":
            return None
        comment = click.prompt("Why", default="approved" if word == "y" else "rejected", err=self._err)
        return Decision(approve=word == "y", comment=comment[:500])

    def clear_way(self, execution: Execution) -> bool:
        """Ask whether an earlier run that waits shall go."""
        if self.yes:
            return True
        self.warn(f"run {execution.id} of commit {execution.commit[:8]} still waits for approval")
        return self._ask("Reject it and go on?", {"y": "yes", "n": "no"}) == "y"

    def _ask(self, question: str, answers: dict[str, str]) -> str:
        choices = "/".join(f"{key} ({word})" for key, word in answers.items())
        kind = click.Choice(list(answers))
        return str(click.prompt(f"{question} {choices}", type=kind, show_choices=False, err=self._err))

    @property
    def _err(self) -> bool:
        return self.console.stderr


def progress(now: Progress) -> str:
    """Return one line about a training job: step, loss and perplexity as they fall."""
    step = f"step {now.step}/{now.steps}" if now.steps else now.status.lower()
    parts = [step]
    if now.loss is not None:
        parts.append(f"loss {now.loss:.3f}")
    if now.perplexity is not None:
        parts.append(f"perplexity {now.perplexity:,.1f}")
    if now.perplexity_before is not None:
        parts.append(f"untrained {now.perplexity_before:,.0f}")
    if now.validation_perplexity is not None:
        parts.append(f"on held-out text {now.validation_perplexity:,.1f}")
    if now.bits_per_byte is not None:
        parts.append(f"{now.bits_per_byte:.3f} bits per byte")
    return ", ".join(parts)


def card(execution: Execution, action: Action) -> Panel:
    """Return the facts that a person decides on."""
    title = f"{execution.pipeline}: a model waits for approval"
    return Panel(Text("\n".join(facts(execution, action))), title=title, title_align="left")
