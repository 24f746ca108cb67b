"""`atelier fleet`: what serves behind the load balancer, and what has landed."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from atelier.cli import output
from atelier.cli.connect import as_json, clients, on_aws, with_prefix
from atelier.cli.errors import Command, Ended, Group, explained

if TYPE_CHECKING:
    from atelier.client.fleet import Fleet, Landing

WAITING = "interrupted: the model goes on landing; see `atelier fleet status`"
PATIENCE = 2700.0


@click.group(
    cls=Group, examples=["atelier fleet status", "atelier fleet put model.tar.gz --name gpt-neo --wait"]
)
def fleet() -> None:
    """See what the serving fleet serves; let models land; ask it."""


def _fleet(aws: bool, prefix: str) -> Fleet:
    from atelier.client.fleet import connect

    return connect(clients(aws), prefix)


@fleet.command(cls=Command, examples=["atelier fleet status", "atelier fleet status --json"])
@with_prefix
@on_aws
@as_json
def status(prefix: str, aws: bool, as_json: bool) -> None:
    """Say what serves, what is being tried, and how many tasks there are."""
    found = _fleet(aws, prefix).status()
    if as_json:
        output.emit(found)
        return
    rows = [
        ("url", found.url),
        ("serving", _model(found.serving) or "nothing yet: let a model land with `atelier fleet put`"),
        ("trying", _model(found.trying) or "-"),
        ("tasks", f"{found.running} running, {found.pending} pending, {found.desired} wanted"),
        ("rollout", f"{found.rollout.lower().replace('_', ' ')}: {found.reason}"),
    ]
    output.console().print(output.table(["", ""], rows))


def _model(model: Any) -> str:
    if not model:
        return ""
    landed = output.ago(datetime.fromisoformat(model["landed"]))
    return f"{model['name']} ({output.short(model['sha256'])}), landed {landed}"


@fleet.command(
    cls=Command,
    examples=["atelier fleet put model.tar.gz", "atelier fleet put model.tar.gz --name shakespeare --wait"],
)
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", default="gpt-neo", show_default=True, help="What the model is called.")
@click.option("--wait", is_flag=True, help="Wait until it serves; fail when it is refused.")
@with_prefix
@on_aws
@as_json
def put(archive: Path, name: str, wait: bool, prefix: str, aws: bool, as_json: bool) -> None:
    """Let ARCHIVE land: a model.tar.gz as a training job leaves it.

    The newest good model serves. One that cannot be loaded or answers garbage is refused, and the one
    before goes on serving.
    """
    found = _fleet(aws, prefix)
    version = found.put(archive, name)
    if wait:
        with explained(WAITING):
            landing = found.settled(name, version, patience=PATIENCE)
        _conclude(landing, as_json)
        return
    if as_json:
        output.emit({"name": name, "version_id": version, "status": "landed"})
        return
    output.console().print(f"{name} has landed; `atelier fleet status` says how it goes on.", markup=False)


def _conclude(landing: Landing, as_json: bool) -> None:
    if as_json:
        output.emit(landing)
    if landing.status == "refused":
        raise Ended(f"the fleet refused {landing.name}: {landing.reason}")
    if not as_json:
        output.console().print(f"{landing.name} serves.", markup=False)


@fleet.command(
    cls=Command, examples=['atelier fleet ask "The with statement"', "atelier fleet ask Hello --json"]
)
@click.argument("prompt")
@click.option("--max-new-tokens", type=int, default=40, show_default=True, help="How much to write.")
@click.option("--temperature", type=float, default=0.7, show_default=True, help="0: the likeliest token.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same text.")
@with_prefix
@on_aws
@as_json
def ask(prompt: str, prefix: str, aws: bool, as_json: bool, **settings: Any) -> None:
    """Let the fleet go on from PROMPT, through its load balancer."""
    answer = _fleet(aws, prefix).ask({"prompt": prompt, **settings})
    if as_json:
        output.emit(answer)
        return
    for each in answer["completions"]:
        output.console().print(f"[bold]{escape(prompt)}[/]{escape(each['text'])}", soft_wrap=True)
    model = answer.get("model", {})
    output.console().print(
        f"({_model(model) if 'landed' in model else 'a model without a name'})", style="dim"
    )


@fleet.command(cls=Command, examples=["atelier fleet history"])
@with_prefix
@on_aws
@as_json
def history(prefix: str, aws: bool, as_json: bool) -> None:
    """List what has landed, and what became of it."""
    found = _fleet(aws, prefix).history()
    if as_json:
        output.emit({"landings": found})
        return
    if not found:
        output.console().print("No model has landed yet.")
        return
    rows = [
        (
            each.name,
            output.status(each.status),
            output.short(each.sha256),
            output.ago(datetime.fromisoformat(each.landed)),
            each.reason or "-",
        )
        for each in found
    ]
    output.console().print(output.table(["MODEL", "STATUS", "SHA-256", "LANDED", "REASON"], rows))


@fleet.command(cls=Command, examples=["atelier fleet rollback"])
@with_prefix
@on_aws
@as_json
def rollback(prefix: str, aws: bool, as_json: bool) -> None:
    """Let the model land again that served before this one."""
    found = _fleet(aws, prefix).rollback()
    if as_json:
        output.emit({"name": found.name, "sha256": found.sha256, "status": "landed"})
        return
    told = f"{found.name} ({output.short(found.sha256)}) has landed again"
    output.console().print(f"{told}; `atelier fleet status` says how it goes on.", markup=False)
