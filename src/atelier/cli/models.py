"""`atelier models`: the registry."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from atelier.cli import output
from atelier.cli.connect import as_json, clients, on_aws, with_prefix
from atelier.cli.errors import Command, Group

if TYPE_CHECKING:
    from atelier.client.models import Models, Version


@click.group(cls=Group, examples=["atelier models list", "atelier models show 2"])
def models() -> None:
    """Look into the model registry: what was trained, from what, how good it is, who approved it."""


def _models(aws: bool, prefix: str) -> Models:
    from atelier.client.models import Models

    return Models(clients=clients(aws), prefix=prefix)


@models.command("list", cls=Command, examples=["atelier models list"])
@with_prefix
@on_aws
@as_json
def show_all(prefix: str, aws: bool, as_json: bool) -> None:
    """List the versions, the newest first."""
    found = _models(aws, prefix).versions()
    if as_json:
        output.emit({"models": [document(each) for each in found]})
        return
    if not found:
        output.console().print("No model yet: a run of the pipeline makes one (`atelier demo`).")
        return
    headings = ["VERSION", "STATUS", "BITS/BYTE", "PERPLEXITY", "COMMIT", "DATA", "CREATED", "COMMENT"]
    output.console().print(output.table(headings, [_row(each) for each in found]))


def _row(version: Version) -> tuple[Any, ...]:
    return (
        str(version.version),
        output.status("serving" if version.is_serving else version.status),
        output.number(version.bits_per_byte, 3),
        output.number(version.perplexity, 1),
        output.short(version.commit),
        output.short(version.data_version),
        output.ago(version.moment),
        version.comment or "-",
    )


@models.command(cls=Command, examples=["atelier models show", "atelier models show 2 --json"])
@click.argument("version", required=False)
@with_prefix
@on_aws
@as_json
def show(version: str | None, prefix: str, aws: bool, as_json: bool) -> None:
    """Show one version with all that is known of it; without VERSION the one that serves."""
    found = _models(aws, prefix).version(version)
    if as_json:
        output.emit(document(found))
        return
    output.console().print(sheet(found))


def sheet(version: Version) -> Any:
    """Return a version's registry entry as a table of two columns."""
    metrics = [(name, output.number(value, 4)) for name, value in sorted(version.metrics.items())]
    settings = [(name, value) for name, value in sorted(version.hyperparameters.items())]
    plain = {
        name: str(value)
        for name, value in asdict(version).items()
        if value and name not in {"model", "version", "status", "metrics", "hyperparameters"}
    }
    serving = ", serving" if version.is_serving else ""
    rows = [
        ("model", f"{version.model} version {version.version}"),
        ("status", f"{version.status}{serving}"),
        *plain.items(),
        *metrics,
        *settings,
    ]
    return output.table(["", ""], rows)


def document(version: Version) -> dict[str, Any]:
    """Return a version as programs read it."""
    return {**asdict(version), "serving": version.is_serving}
