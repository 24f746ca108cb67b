"""`atelier tokens`: keys to the middleware's API."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from atelier.cli import output
from atelier.cli.connect import as_json, clients, on_aws, with_prefix
from atelier.cli.errors import Command, Group

if TYPE_CHECKING:
    from atelier.client.middleware import Api

USER = click.argument("username")


@click.group(cls=Group, examples=["atelier tokens create api", "atelier tokens list api"])
def tokens() -> None:
    """Make, list and revoke the tokens by which users of the middleware's API are known."""


def _api(aws: bool, prefix: str) -> Api:
    from atelier.client import middleware

    return middleware.connect(clients(aws), prefix)


@tokens.command(
    cls=Command,
    examples=["atelier tokens create api", "atelier tokens create ann --description laptop --days 90"],
)
@USER
@click.option("--description", default="", help="What the token is for.")
@click.option("--days", type=click.IntRange(1, 3660), help="How long it is valid [default: for ever].")
@with_prefix
@on_aws
@as_json
def create(username: str, description: str, days: int | None, prefix: str, aws: bool, as_json: bool) -> None:
    """Make a token for the user USERNAME and print it: it is shown this once."""
    from atelier.client import tokens as client

    lifetime = None if days is None else days * 24 * 3600
    made = client.create(_api(aws, prefix), username, description=description, expires_in=lifetime)
    if as_json:
        output.emit({**asdict(made.token), "token": made.secret})
        return
    click.echo(made.secret)


@tokens.command("list", cls=Command, examples=["atelier tokens list api"])
@USER
@with_prefix
@on_aws
@as_json
def show_all(username: str, prefix: str, aws: bool, as_json: bool) -> None:
    """List the tokens of the user USERNAME, without their secrets."""
    from atelier.client import tokens as client

    found = client.listed(_api(aws, prefix), username)
    if as_json:
        output.emit({"tokens": [asdict(each) for each in found]})
        return
    if not found:
        output.console().print(f"{username} has no token: make one with `atelier tokens create {username}`.")
        return
    rows = [
        (each.id, output.ago(datetime.fromisoformat(each.created)), each.expires or "never", each.description)
        for each in found
    ]
    output.console().print(output.table(["ID", "MADE", "EXPIRES", "DESCRIPTION"], rows))


@tokens.command(cls=Command, examples=["atelier tokens revoke api 0123456789abcdef"])
@USER
@click.argument("token_id", metavar="ID")
@with_prefix
@on_aws
@as_json
def revoke(username: str, token_id: str, prefix: str, aws: bool, as_json: bool) -> None:
    """Revoke the token ID of the user USERNAME; within a minute it opens nothing."""
    from atelier.client import tokens as client

    client.revoke(_api(aws, prefix), username, token_id)
    if as_json:
        output.emit({"id": token_id, "revoked": True})
        return
    output.console().print(f"Token {token_id} of {username} is revoked.")
