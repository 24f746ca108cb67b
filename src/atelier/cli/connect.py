"""Which account a command talks to: the local cloud, unless it is told otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from atelier.client.session import Clients
    from atelier.cloud.gateway.launch import Connection

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

on_aws: Decorator = click.option(
    "--aws", is_flag=True, help="Talk to your AWS account instead of the local cloud."
)
as_json: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output."
)
with_engine: Decorator = click.option(
    "--engine",
    default="auto",
    show_default=True,
    envvar="ATELIER_ENGINE",
    show_envvar=True,
    type=click.Choice(["auto", "docker", "process"]),
    help="What runs containers; auto: what this home has, else Docker if it answers, else plain processes.",
)
with_prefix: Decorator = click.option(
    "--prefix", default="atelier", show_default=True, help="What the installation's names begin with."
)
with_parameters: Decorator = click.option(
    "--parameter",
    "-p",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter of the stacks, such as TrainingSteps=500; what was set before stays.",
)


def clients(aws: bool) -> Clients:
    """Return clients of the real account with `--aws`, of the local cloud otherwise.

    Whoever calls the command from Python may hand clients in, as click's `obj`.
    """
    given: Clients | None = click.get_current_context().find_root().obj
    if given is not None:
        return given
    from atelier.client import session

    if aws:
        return session.aws()
    from atelier.cloud.gateway import launch

    return reached(launch.connection(launch.default_home()))


def assignments(given: Iterable[str], option: str) -> Iterator[tuple[str, str]]:
    """Read an option that says NAME=VALUE and may be given often."""
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{each!r} is not NAME=VALUE", param_hint=option)
        yield name, value


def reached(connection: Connection) -> Clients:
    """Return clients of a local cloud that runs."""
    from atelier.client import session

    return session.local(
        endpoint=connection.endpoint,
        access_key=connection.access_key,
        secret_key=connection.secret_key,
        region=connection.region,
    )
