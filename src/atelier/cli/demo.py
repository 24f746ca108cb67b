"""`atelier demo`: the whole product once through."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from atelier.cli import output
from atelier.cli.connect import as_json, assignments, reached, with_engine, with_parameters, with_prefix
from atelier.cli.errors import Command, Pending, explained

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from atelier.cli.screen import Lines
    from atelier.client.models import Version
    from atelier.client.session import Clients
    from atelier.demo import Clock, Result

INTERRUPTED = (
    "interrupted: the local cloud and the pipeline go on. Run `atelier demo` again to go on, see "
    "`atelier pipeline show`, or stop with `atelier down`"
)
PAUSED = "interrupted: what was begun goes on. Run `atelier demo artist` again to go on, or `atelier down`"
LANDING = "interrupted: what landed goes on. Run `atelier demo fleet` again to go on, or `atelier down`"
BUDGET = {"up": 3.0, "synth": 2.0, "deploy": 15.0, "overhead": 15.0}


@click.command(
    cls=Command,
    examples=[
        "atelier demo",
        "atelier demo --yes --json",
        "atelier demo --data shakespeare.txt",
        "atelier demo artist",
        "atelier demo fleet",
        "atelier demo --engine docker",
    ],
)
@click.argument("part", default="pipeline", type=click.Choice(["pipeline", "artist", "fleet"]))
@click.option("--yes", is_flag=True, help="Ask nothing: approve the model, let the artist's endpoint rest.")
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Train on this file or folder of text [default: Python's own reference text].",
)
@with_engine
@with_parameters
@with_prefix
@as_json
def demo(
    part: str,
    yes: bool,
    data: Path | None,
    engine: str,
    parameters: tuple[str, ...],
    prefix: str,
    as_json: bool,
) -> None:
    """Take a git push through build, training, approval and serving; or see an artist, or the fleet, at work.

    PART is pipeline (the default), artist or fleet.

    pipeline starts the local cloud, deploys the stacks, uploads text, pushes the commit that is checked out,
    follows the pipeline, asks you to approve the model, and asks the published model for completions. Run it
    again after a commit, and version 2 is compared with version 1. Exits with 3 when a model waits for an
    approval that nobody is here to give.

    artist starts the local cloud, deploys the middleware with the image of its endpoints, and goes on by the
    REST API alone: a user with a token, tiny checkpoints uploaded, an endpoint, a picture; a dataset, a LoRA
    trained from it, two checkpoints merged, and a picture made with both. Then the endpoint is scaled to no
    instances.

    fleet starts the local cloud, deploys the serving fleet with its image, trains two small models, and lets
    them land in the fleet's bucket one after the other, with clients asking all the time; then one that is no
    model, which is refused while the other goes on serving.
    """
    given = dict(assignments(parameters, "--parameter"))
    notes = output.console(stderr=as_json or not sys.stdout.isatty())
    if part != "pipeline" and data is not None:
        raise click.UsageError("--data is what the pipeline trains on: the other parts bring their own")
    if part == "fleet":
        _serve(notes, yes=yes, prefix=prefix, engine=engine, parameters=given, as_json=as_json)
    elif part == "artist":
        _paint(notes, yes=yes, prefix=prefix, engine=engine, parameters=given, as_json=as_json)
    else:
        _publish(notes, yes=yes, data=data, prefix=prefix, engine=engine, parameters=given, as_json=as_json)


def _publish(
    notes: Console,
    *,
    yes: bool,
    data: Path | None,
    prefix: str,
    engine: str,
    parameters: Mapping[str, str],
    as_json: bool,
) -> None:
    """Publish a model."""
    from atelier.demo import Undecided

    with explained(INTERRUPTED), _view(notes, yes=yes) as view:
        try:
            result = _run(view, data, prefix, engine, parameters)
        except Undecided as error:
            raise Pending(str(error)) from error
    _conclude(notes if as_json else output.console(), result)
    if as_json:
        output.emit(result.document())


def _paint(
    notes: Console, *, yes: bool, prefix: str, engine: str, parameters: Mapping[str, str], as_json: bool
) -> None:
    """Paint a picture."""
    from atelier import artist, deploy
    from atelier.cli.artist import Easel, conclude
    from atelier.cloud.gateway import launch
    from atelier.demo import Clock

    clock, plan = Clock(), artist.Plan(folder=launch.default_home() / "pictures", prefix=prefix)
    with explained(PAUSED), Easel(notes, yes=yes) as view:
        clients = _prepare(view, clock, prefix, engine, parameters, deploy.MIDDLEWARE)
        result = artist.go(clients, plan, view, clock)
    conclude(notes if as_json else output.console(), result, budget(result.seconds))
    if as_json:
        output.emit(result.document())


def _serve(
    notes: Console, *, yes: bool, prefix: str, engine: str, parameters: Mapping[str, str], as_json: bool
) -> None:
    """Let models land in the fleet."""
    from atelier import deploy, fleet_demo
    from atelier.cli.fleet_screen import Window, conclude
    from atelier.cloud.gateway import launch
    from atelier.demo import Clock

    clock = Clock()
    plan = fleet_demo.Plan(folder=launch.default_home() / "apprentices", prefix=prefix)
    with explained(LANDING), Window(notes, yes=yes) as view:
        clients = _prepare(view, clock, prefix, engine, parameters, deploy.SERVING)
        result = fleet_demo.go(clients, plan, view, clock)
    conclude(notes if as_json else output.console(), result, budget(result.seconds))
    if as_json:
        output.emit(result.document())


def _view(console: Console, *, yes: bool) -> Lines:
    from atelier.cli.screen import Lines, Screen

    kind = Screen if console.is_terminal and sys.stdin.isatty() else Lines
    return kind(console, yes=yes)


def _run(view: Lines, data: Path | None, prefix: str, engine: str, parameters: Mapping[str, str]) -> Result:
    from atelier import demo as story
    from atelier import deploy
    from atelier.client import datasets, repositories

    clock = story.Clock()
    plan = story.Plan(folder=Path.cwd(), data=data, prefix=prefix)
    repositories.head(plan.folder)  # what cannot be pushed is told before anything is started
    if data is not None:
        datasets.check(data)  # and so is what cannot be trained on
    return story.go(_prepare(view, clock, prefix, engine, parameters, deploy.ORDER), plan, view, clock)


def _prepare(
    view: Lines,
    clock: Clock,
    prefix: str,
    engine: str,
    parameters: Mapping[str, str],
    order: Sequence[str],
) -> Clients:
    """Start the cloud if it is down, and deploy."""
    from atelier import deploy as stacks
    from atelier import synth
    from atelier.cli.deploy import kept
    from atelier.cloud.gateway import launch

    home = launch.default_home()
    ran = launch.status(home).running
    with clock.timed("up"):
        clients = reached(launch.start(home, engine=engine))
    now = launch.status(home)
    view.step("The local cloud runs already" if ran else f"The local cloud is up: {home}")
    view.step(f"Containers: {now.engine} ({now.engine_reason})")
    with clock.timed("synth"), tempfile.TemporaryDirectory() as folder:
        rendered = synth.render(Path(folder))
    view.step(f"{len(rendered)} templates render")
    with clock.timed("deploy"):
        outcomes = stacks.deploy(
            clients, prefix=prefix, parameters=parameters, progress=view.stack, order=order
        )
        for outcome in outcomes:
            view.step(f"Stack {outcome.name} {outcome.change} in {output.duration(outcome.seconds)}")
        for line in kept(outcomes):
            view.step(line)
    return clients


def _conclude(console: Console, result: Result) -> None:
    """Show what the published model says, where it comes from, and what to try next."""
    from atelier.cli.invoke import curl_line
    from atelier.cli.models import sheet
    from atelier.demo import SETTINGS

    console.print()
    for answer in result.answers:
        console.print(f"[bold]{escape(answer.prompt)}[/]{escape(tight(answer.text))}\n", soft_wrap=True)
    console.print(sheet(result.version), "")
    if result.previous is not None:
        console.print(comparison(result.previous, result.version), "")
    console.print(budget(result.seconds), "")
    request = {"prompt": result.answers[0].prompt, **SETTINGS}
    console.print("Ask it yourself:", style="bold")
    console.print(f"  {curl_line(result.api, request, prefix=result.prefix)}", markup=False, soft_wrap=True)
    console.print(f'  {output.program()} invoke "{result.answers[0].prompt}"', markup=False)
    console.print(f"The local cloud goes on running; `{output.program()} down` stops it and keeps its state.")


def tight(text: str) -> str:
    """Return a text without the empty lines in its midst: a small model likes to write them."""
    return re.sub(r"\n\s*\n", "\n", text).rstrip()


def comparison(before: Version, now: Version) -> Table:
    """Return two versions side by side."""
    rows = [
        ("bits per byte", output.number(before.bits_per_byte, 4), output.number(now.bits_per_byte, 4)),
        ("perplexity", output.number(before.perplexity), output.number(now.perplexity)),
        ("commit", output.short(before.commit), output.short(now.commit)),
        ("data", output.short(before.data_version), output.short(now.data_version)),
        ("image", output.short(before.image_digest), output.short(now.image_digest)),
    ]
    return output.table(["", f"version {before.version}", f"version {now.version}"], rows)


def budget(seconds: Mapping[str, float]) -> Table:
    """Return where the time went, beside what it may take."""
    rows = [
        (name, output.duration(value), f"at most {output.duration(BUDGET[name])}" if name in BUDGET else "")
        for name, value in seconds.items()
    ]
    return output.table(["WHERE THE TIME WENT", "", ""], rows)
