"""`atelier invoke` and `atelier api-key`: ask the published model."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import click

from atelier.cli import output
from atelier.cli.connect import as_json, clients, on_aws, with_prefix
from atelier.cli.errors import Command

if TYPE_CHECKING:
    from atelier.client.completions import Api


@click.command(
    cls=Command,
    examples=[
        'atelier invoke "The with statement"',
        'atelier invoke "A class" --max-new-tokens 64 --temperature 0',
        'atelier invoke "A class" --curl',
    ],
)
@click.argument("prompt")
@click.option("--max-new-tokens", type=int, help="How much to write, in tokens.")
@click.option("--temperature", type=float, help="0 always takes the likeliest token.")
@click.option("--top-p", type=float, help="Draw from the likeliest tokens that make up this share.")
@click.option("--top-k", type=int, help="Draw from this many likeliest tokens; 0 for all.")
@click.option("--seed", type=int, help="The same seed gives the same text.")
@click.option("--stop", multiple=True, help="End before this text; may be given up to four times.")
@click.option("--curl", is_flag=True, help="Print a curl command that asks the same, and do not ask.")
@with_prefix
@on_aws
@as_json
def invoke(prompt: str, curl: bool, prefix: str, aws: bool, as_json: bool, **settings: Any) -> None:
    """Let the published model go on from PROMPT.

    It asks the API on its public address, with its key, as anyone on the internet would.
    """
    from atelier.client import completions

    if curl and as_json:
        raise click.UsageError("--curl prints a command and --json an answer: choose one")
    request = {"prompt": prompt, **_given(settings)}
    api = completions.published(clients(aws), prefix)
    if curl:
        click.echo(curl_line(api, request, prefix=prefix, aws=aws))
        return
    answer = completions.complete(api, request)
    if as_json:
        output.emit(answer)
        return
    for each in answer["completions"]:
        output.console().print(f"[bold]{_escaped(prompt)}[/]{_escaped(each['text'])}", soft_wrap=True)


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in settings.items()
        if value is not None and value != ()
    }


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def curl_line(api: Api, request: dict[str, Any], *, prefix: str = "atelier", aws: bool = False) -> str:
    """Return a curl command for a shell; the key comes by a file descriptor, never by an argument."""
    words = [output.program(), "api-key", "--header", *(["--aws"] if aws else [])]
    words += ["--prefix", prefix] if prefix != "atelier" else []
    return (
        f"curl -sS {shlex.quote(api.url)} --header @<({shlex.join(words)}) "
        f"--header 'Content-Type: application/json' --data {shlex.quote(json.dumps(request))}"
    )


@click.command(
    "api-key",
    cls=Command,
    examples=["curl --header @<(atelier api-key --header) ...", "atelier api-key | pbcopy"],
)
@click.option("--header", is_flag=True, help="Print the whole header line, for curl's --header @file.")
@with_prefix
@on_aws
def api_key(header: bool, prefix: str, aws: bool) -> None:
    """Print the key that opens the published API."""
    from atelier.client import completions

    api = completions.published(clients(aws), prefix)
    click.echo(f"x-api-key: {api.key}" if header else api.key)
