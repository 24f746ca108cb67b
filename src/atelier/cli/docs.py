"""`atelier docs`: the documentation's site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from atelier.cli import output
from atelier.cli.connect import as_json, clients, on_aws, with_prefix
from atelier.cli.errors import Command, Group, explained

if TYPE_CHECKING:
    from atelier.client.site import Plan, Site

INTERRUPTED = "interrupted: some files may be published; run `atelier docs publish` again to go on"


@click.group(cls=Group, examples=["atelier docs publish", "atelier docs publish --dry-run --aws"])
def docs() -> None:
    """Publish the documentation's site."""


@docs.command(
    cls=Command, examples=["atelier docs publish", "atelier docs publish --site other/folder --dry-run"]
)
@click.option(
    "--site",
    "folder",
    default="build/site",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The built site; `make docs` builds it.",
)
@click.option("--all", "everything", is_flag=True, help="Send what has not changed, too.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@with_prefix
@on_aws
@as_json
def publish(folder: Path, everything: bool, dry_run: bool, prefix: str, aws: bool, as_json: bool) -> None:
    """Copy the built site to its bucket: what changed is sent, and what is gone removed.

    CloudFront forgets what it had of either, and the command ends when it has.
    """
    from atelier.client import site as client

    files = client.built(folder)
    site = client.connect(clients(aws), prefix)
    plan = site.plan(files, everything=everything)
    if not dry_run:
        with explained(INTERRUPTED):
            site.publish(plan)
    _tell(site, plan, dry_run, as_json)


def _tell(site: Site, plan: Plan, dry_run: bool, as_json: bool) -> None:
    if as_json:
        output.emit({**plan.document(), "url": site.place.url, "published": not dry_run})
        return
    words = "would be " if dry_run else ""
    counted = f"{len(plan.new)} new, {len(plan.changed)} changed and {len(plan.removed)} removed"
    output.console().print(
        f"{counted} files {words}published; {plan.same} are as they were.", highlight=False
    )
    output.console().print(site.place.url, soft_wrap=True, markup=False)
