"""Which account a command talks to: the local cloud, unless it is told otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from atelier.client.session import Clients

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

on_aws: Decorator = click.option(
    "--aws", is_flag=True, help="Talk to your AWS account instead of the local cloud."
)
as_json: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output."
)
with_prefix: Decorator = click.option(
    "--prefix", default="atelier", show_default=True, help="What the installation's names begin with."
)


def clients(aws: bool) -> Clients:
    """Return clients of the real account with `--aws`, of the local cloud otherwise."""
    from atelier.client import session

    if aws:
        return session.aws()
    from atelier.cloud.gateway import launch

    found = launch.connection(launch.default_home())
    return session.local(
        endpoint=found.endpoint,
        access_key=found.access_key,
        secret_key=found.secret_key,
        region=found.region,
    )
