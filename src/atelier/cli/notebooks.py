"""`atelier notebooks`: the notebooks of this checkout, executed from top to bottom."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atelier.cli import output
from atelier.cli.connect import assignments, clients, on_aws, with_prefix
from atelier.cli.errors import Command

if TYPE_CHECKING:
    from atelier.client.middleware import Api
    from atelier.client.session import Clients


@click.command(
    cls=Command,
    examples=["atelier notebooks", "atelier notebooks 1 3", "atelier notebooks 2 --set STEPS=40"],
)
@click.argument("names", nargs=-1)
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Set a parameter; JSON or a text."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("build/notebooks"),
    show_default=True,
    help="Where the copies with their outputs go.",
)
@click.option("--prepare", is_flag=True, help="Run the demos first if there is no model, or no checkpoint.")
@with_prefix
@on_aws
@click.pass_context
def notebooks(
    context: click.Context,
    names: tuple[str, ...],
    settings: tuple[str, ...],
    out: Path,
    prepare: bool,
    prefix: str,
    aws: bool,
) -> None:
    """Execute notebooks in an environment of their own, against the local cloud or AWS.

    NAMES are what their names begin with, such as 1 or 3-compare; all of them without any. The notebooks stay
    as they are. The one that paints gets a token for an hour, which is revoked in the end.
    """
    from atelier import notebooks as executed

    wanted = executed.chosen(names)
    parameters = {name: _value(text) for name, text in assignments(settings, "--set")}
    if prepare:
        _prepare(context, prefix, aws, paints=executed.need_middleware(wanted))
    with _api(clients(aws), prefix, wanted) as api:
        environment = {**os.environ, **_place(aws), **executed.told(prefix, api)}
        executed.execute(wanted, environment=environment, parameters=parameters, out=out)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _place(aws: bool) -> dict[str, str]:
    if aws:
        return {}
    from atelier.cloud.gateway import launch

    return launch.connection(launch.default_home()).environment()


@contextlib.contextmanager
def _api(clients: Clients, prefix: str, wanted: Sequence[Path]) -> Iterator[Api | None]:
    """Open the middleware's API for the artist, if it is needed."""
    from atelier import artist
    from atelier.cli.artist import Easel
    from atelier.client import middleware
    from atelier.demo import Clock
    from atelier.notebooks import need_middleware

    if not need_middleware(wanted):
        yield None
        return
    view = Easel(output.console(), yes=True)
    with artist.known(middleware.connect(clients, prefix), view, Clock()) as api:
        yield api


def _prepare(context: click.Context, prefix: str, aws: bool, *, paints: bool) -> None:
    """Deploy the notebooks' role, and run the demos that have never run."""
    from atelier.cli.demo import demo
    from atelier.cli.deploy import deploy
    from atelier.cloud.gateway import launch

    if aws:
        raise click.UsageError("--prepare runs the demos, which are the local cloud's")
    launch.start(launch.default_home())
    if not _has_model(clients(aws), prefix):
        context.invoke(demo, part="pipeline", yes=True, prefix=prefix)
    if paints and not _has_checkpoint(clients(aws), prefix):
        context.invoke(demo, part="artist", yes=True, prefix=prefix)
    context.invoke(deploy, part="notebook", prefix=prefix)


def _has_model(clients: Clients, prefix: str) -> bool:
    from atelier.client.errors import NotDeployed
    from atelier.client.models import Models

    try:
        return bool(Models(clients=clients, prefix=prefix).versions())
    except NotDeployed:
        return False


def _has_checkpoint(clients: Clients, prefix: str) -> bool:
    from atelier.client import middleware
    from atelier.client.errors import NotDeployed

    try:
        api = middleware.connect(clients, prefix)
        found = api.call("GET", "checkpoints?types=Stable-diffusion&status=Active")["checkpoints"]
    except NotDeployed:
        return False
    return bool(found)
