"""`atelier outputs`: where a deployed part is to be reached."""

from __future__ import annotations

import click

from atelier.cli import output
from atelier.cli.connect import as_json, clients, on_aws, with_prefix
from atelier.cli.errors import Command


@click.command(
    cls=Command, examples=["atelier outputs middleware", "atelier outputs middleware --json | jq -r .ApiUrl"]
)
@click.argument("part", type=click.Choice(["middleware", "docs"]))
@with_prefix
@on_aws
@as_json
def outputs(part: str, prefix: str, aws: bool, as_json: bool) -> None:
    """Say where PART is to be reached.

    PART is middleware (the API's address, its bucket, and the secret that opens it) or docs (the site's
    address, its bucket and its distribution).
    """
    from atelier.client import middleware, site

    reached = clients(aws)
    found = site.place(reached, prefix) if part == "docs" else middleware.place(reached, prefix)
    document = found.document()
    if as_json:
        output.emit(document)
        return
    for name, value in document.items():
        output.console().print(f"{name}: {value}", soft_wrap=True, markup=False)
