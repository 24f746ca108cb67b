"""`atelier deploy`: the stacks, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.text import Text

from atelier.cli import output
from atelier.cli.connect import as_json, assignments, clients, on_aws, with_parameters, with_prefix
from atelier.cli.errors import Command, explained

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from atelier.stacks import Event, Outcome

INTERRUPTED = (
    "interrupted: CloudFormation goes on with the stack at hand; run `atelier deploy` again to go on"
)

WORDS = {
    "CREATE_COMPLETE": "created",
    "UPDATE_COMPLETE": "updated",
    "DELETE_COMPLETE": "deleted",
    "CREATE_FAILED": "failed",
    "UPDATE_FAILED": "failed",
    "DELETE_FAILED": "failed",
    "BUILD_IN_PROGRESS": "is being built, which takes some minutes",
    "BUILD_COMPLETE": "is there",
}


@click.command(
    cls=Command,
    examples=[
        "atelier deploy",
        "atelier deploy webui -p WebuiApproval=true",
        "atelier deploy all --prefix team-a --aws",
    ],
)
@click.argument(
    "part",
    default="pipeline",
    type=click.Choice(["pipeline", "middleware", "webui", "fleet", "docs", "github", "notebook", "all"]),
)
@with_parameters
@click.option("--defaults", is_flag=True, help="Give what is not set its default, whatever was set before.")
@with_prefix
@on_aws
@as_json
def deploy(
    part: str, parameters: tuple[str, ...], defaults: bool, prefix: str, aws: bool, as_json: bool
) -> None:
    """Create or update the stacks of one part of Atelier, or of all.

    PART is pipeline (the default), middleware, webui, fleet, docs, github, notebook or all. What holds state
    comes first, what uses it after; what has not changed is left alone. A stack that fails is rolled back,
    and the cause is named. Parameters that were set by an earlier deployment stay as they are.
    """
    from atelier import deploy as stacks

    given = dict(assignments(parameters, "--parameter"))
    notes = output.console(stderr=as_json)
    with explained(INTERRUPTED):
        outcomes = stacks.deploy(
            clients(aws),
            prefix=prefix,
            parameters=given,
            progress=Narrator(notes).hear,
            order=stacks.PARTS[part],
            keeps=not defaults,
        )
    if as_json:
        output.emit({"stacks": outcomes})
        return
    for line in kept(outcomes):
        notes.print(line, markup=False, soft_wrap=True)
    rows = [(each.name, output.status(each.change), output.duration(each.seconds)) for each in outcomes]
    notes.print(output.table(["STACK", "", "TOOK"], rows))


def kept(outcomes: Iterable[Outcome]) -> list[str]:
    """Say which parameters nobody gave and stay as they were set before: one line, or none."""
    values = {pair for each in outcomes for pair in each.kept.items()}
    told = ", ".join(f"{name}={value}" for name, value in sorted(values))
    return [f"Kept as set before: {told} (`atelier deploy PART --defaults` forgets them)"] if told else []


class Narrator:
    """Tells of a deployment, one line for each resource that is done or has failed."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def hear(self, event: Event) -> None:
        """Write a line for an event that ends something."""
        action, _, end = event.status.rpartition("_")
        if event.status not in WORDS and (end not in {"FAILED", "COMPLETE"} or "CLEANUP" in action):
            return
        word = WORDS.get(event.status, event.status.lower().replace("_", " "))
        line = Text.assemble("  ", f"{event.resource} ({event.type}) ", output.status(word))
        if end == "FAILED":
            line.append(f": {event.reason}")
        self._console.print(line, soft_wrap=True)
