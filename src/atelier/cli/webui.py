"""`atelier webui`: the newest WebUI with our extension, on an instance of one's own."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from atelier.cli import output
from atelier.cli.connect import as_json, clients, on_aws, with_prefix
from atelier.cli.errors import Command, Ended, Group

if TYPE_CHECKING:
    from atelier.client.webui import Build, WebUI
    from atelier.client.webui_workstations import Workstation, Workstations

ID = click.argument("id", required=False)
YES = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
SHOW_PASSWORD = click.option("--show-password", is_flag=True, help="Print the password, too.")
UNITS = {"m": 60, "h": 3600, "d": 86_400}


@click.group(
    cls=Group, examples=["atelier webui launch --ttl 8h", "atelier webui open", "atelier webui update"]
)
def webui() -> None:
    """Launch the newest WebUI that works, with the extension inside, and see how its image came to be."""


def _webui(aws: bool, prefix: str) -> WebUI:
    from atelier.client.webui import WebUI

    return WebUI(clients=clients(aws), prefix=prefix)


def _workstations(aws: bool, prefix: str) -> Workstations:
    from atelier.client.webui_workstations import Workstations

    return Workstations(clients=clients(aws), prefix=prefix)


class Lifetime(click.ParamType[timedelta]):
    """A time span such as 90m, 8h or 2d."""

    name = "time span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([1-9]\d{0,4})([mhd])", value)
        if found is None:
            self.fail(
                f"{value!r} is not a number with m, h or d behind it, such as 90m, 8h or 2d", param, ctx
            )
        return timedelta(seconds=int(found[1]) * UNITS[found[2]])


@webui.command(
    cls=Command,
    examples=["atelier webui launch", "atelier webui launch --instance-type g4dn.xlarge --ttl 8h --aws"],
)
@click.option("--instance-type", help="What to launch it on [default: what the launch template says].")
@click.option("--ttl", type=Lifetime(), metavar="TIME", help="Stop it after this time: 90m, 8h, 2d.")
@YES
@SHOW_PASSWORD
@with_prefix
@on_aws
@as_json
def launch(
    instance_type: str | None,
    ttl: timedelta | None,
    yes: bool,
    show_password: bool,
    prefix: str,
    aws: bool,
    as_json: bool,
) -> None:
    """Start an instance of the newest image that works, and wait until its WebUI answers.

    What an hour costs is said, and asked about, before. An instance on which nothing happens stops itself.
    """
    from atelier.client import webui_prices as prices

    image, workstations = _webui(aws, prefix).image(), _workstations(aws, prefix)
    kind = instance_type or workstations.instance_type()
    notes = output.console(stderr=as_json)
    notes.print(prices.told(kind), markup=False, soft_wrap=True)
    if not yes:
        _agreed(f"Launch a {kind}?")
    expires = datetime.now(UTC) + ttl if ttl else None
    id = workstations.launch(image, instance_type=instance_type or "", expires=expires)
    notes.print(f"Launched {id}; waiting until its WebUI answers (upstream {image.upstream_commit[:12]}).")
    _tell(workstations, workstations.ready(id, wanted=image.digest), as_json, show_password)


def _agreed(question: str) -> None:
    """Ask; without a yes, or without anybody, nothing is done."""
    try:
        said = click.confirm(question, default=True, err=True)
    except click.Abort:
        said = False
    if not said:
        raise Ended("nobody agreed, and nothing was done (--yes agrees beforehand)")


def _tell(workstations: Workstations, now: Workstation, as_json: bool, show_password: bool) -> None:
    """Say where it is and how to get in; the password only when it was asked for."""
    login = workstations.login()
    password = {"password": workstations.password()} if show_password else {}
    if as_json:
        secret = {"username": login.username, "password_secret_arn": login.secret_arn, **password}
        output.emit({**_document(now), **secret})
        return
    console = output.console()
    console.print(Text(now.url, style="bold"), soft_wrap=True)
    said = password.get("password")
    way = said or f"`{output.program()} webui open {now.id} --show-password` shows it"
    console.print(f"  user {login.username}, password: {way}", markup=False, soft_wrap=True)
    console.print("  The certificate is the instance's own: the browser asks once whether to trust it.")
    if now.expires:
        console.print(f"  It stops at {now.expires:%Y-%m-%d %H:%M} UTC.")


def _document(now: Workstation) -> dict[str, Any]:
    from atelier.client import webui_prices as prices

    price = prices.hourly(now.instance_type)
    return {**asdict(now), "price_per_hour": None if price is None else float(price)}


@webui.command("list", cls=Command, examples=["atelier webui list --json | jq '.workstations[].url'"])
@with_prefix
@on_aws
@as_json
def show_all(prefix: str, aws: bool, as_json: bool) -> None:
    """List the workstations that are not terminated."""
    found = _workstations(aws, prefix).found()
    if as_json:
        output.emit({"workstations": [_document(each) for each in found]})
        return
    if not found:
        output.console().print("No workstation: `atelier webui launch` starts one.")
        return
    rows = [
        (
            each.id,
            output.status(each.state),
            each.instance_type,
            each.upstream_commit[:12] or "-",
            output.ago(each.launched),
            each.url or "-",
        )
        for each in found
    ]
    headings = ["WORKSTATION", "STATE", "TYPE", "UPSTREAM", "LAUNCHED", "URL"]
    output.console().print(output.table(headings, rows))


@webui.command("open", cls=Command, examples=["atelier webui open", "atelier webui open --show-password"])
@ID
@click.option("--no-browser", is_flag=True, help="Only say the URL.")
@SHOW_PASSWORD
@with_prefix
@on_aws
@as_json
def open_(
    id: str | None, no_browser: bool, show_password: bool, prefix: str, aws: bool, as_json: bool
) -> None:
    """Open a workstation in the browser; one that is stopped is started.

    ID may be left out when there is one workstation.
    """
    workstations = _workstations(aws, prefix)
    now = workstations.only(id)
    if now.state in {"stopping", "stopped"}:
        output.console(stderr=as_json).print(f"{now.id} is {now.state}: starting it.")
        workstations.start(now.id)
    now = workstations.ready(now.id)
    _tell(workstations, now, as_json, show_password)
    if not (no_browser or as_json) and sys.stdout.isatty():
        click.launch(now.url)


@webui.command(cls=Command, examples=["atelier webui update", "atelier webui update --rollback"])
@ID
@click.option("--rollback", is_flag=True, help="Go back to the image that it ran before.")
@with_prefix
@on_aws
@as_json
def update(id: str | None, rollback: bool, prefix: str, aws: bool, as_json: bool) -> None:
    """Move a workstation to the newest image that works; its outputs and settings stay.

    ID may be left out when there is one workstation.
    """
    workstations = _workstations(aws, prefix)
    now = workstations.only(id)
    image, commit = _target(_webui(aws, prefix), now, rollback)
    notes = output.console(stderr=as_json)
    if image == now.image:
        notes.print(f"{now.id} {_holds(now)} (upstream {commit[:12]}).", markup=False, soft_wrap=True)
    else:
        workstations.move(now, to=image, commit=commit)
        notes.print(f"{now.id} moves to upstream {commit[:12]}; waiting until its WebUI answers.")
        now = workstations.ready(now.id, wanted=image.rpartition("@")[2])
    _tell(workstations, now, as_json, show_password=False)


def _holds(now: Workstation) -> str:
    """Say what a workstation does with the image that it is to run."""
    from atelier.client.webui_workstations import answering

    if now.state != "running":
        return f"has it already, and is {now.state}: `{output.program()} webui open {now.id}` starts it"
    if answering(now.url) is None:
        again = f"`aws ec2 reboot-instances --instance-ids {now.id}` has it try again"
        raise Ended(f"{now.id} has it already, but its WebUI does not answer: {again}")
    return "runs it already"


def _target(webui: WebUI, now: Workstation, rollback: bool) -> tuple[str, str]:
    """Return the image to move to, and its upstream commit."""
    if not rollback:
        image = webui.image()
        return image.uri, image.upstream_commit
    if not now.previous_image:
        raise Ended(f"{now.id} ran no other image before: there is nothing to go back to")
    return now.previous_image, now.previous_upstream_commit


@webui.command(cls=Command, examples=["atelier webui stop"])
@ID
@with_prefix
@on_aws
@as_json
def stop(id: str | None, prefix: str, aws: bool, as_json: bool) -> None:
    """Stop a workstation: only its volumes cost from then on, and `atelier webui open` starts it again.

    ID may be left out when there is one workstation.
    """
    workstations = _workstations(aws, prefix)
    now = workstations.only(id)
    workstations.stop(now.id)
    if as_json:
        output.emit({"id": now.id, "state": "stopping"})
        return
    output.console().print(f"{now.id} stops; `atelier webui open {now.id}` starts it again.")


@webui.command(cls=Command, examples=["atelier webui terminate", "atelier webui terminate --delete-data"])
@ID
@click.option("--delete-data", is_flag=True, help="Delete its outputs and settings, too.")
@YES
@with_prefix
@on_aws
@as_json
def terminate(id: str | None, delete_data: bool, yes: bool, prefix: str, aws: bool, as_json: bool) -> None:
    """End a workstation; the volume with its outputs and settings stays, unless you say --delete-data.

    ID may be left out when there is one workstation.
    """
    workstations = _workstations(aws, prefix)
    now = workstations.only(id)
    if not yes:
        _agreed(f"Terminate {now.id}{' and delete its outputs and settings' if delete_data else ''}?")
    left = workstations.terminate(now, with_data=delete_data)
    if as_json:
        output.emit({"id": now.id, "state": "terminated", "volumes": left})
        return
    kept = f"; its outputs and settings stay on volume {', '.join(left)}" if left else ""
    output.console().print(f"{now.id} is terminated{kept}.", soft_wrap=True)


@webui.command(
    cls=Command, examples=["atelier webui history", "atelier webui history --json | jq '.runs[0]'"]
)
@with_prefix
@on_aws
@as_json
def history(prefix: str, aws: bool, as_json: bool) -> None:
    """Show which upstream commits went into which image, and how the builds ended, the newest first."""
    found = _webui(aws, prefix).history()
    if as_json:
        output.emit({"runs": found})
        return
    if not found:
        output.console().print("Nothing was built yet: `atelier webui track` looks for a commit to build.")
        return
    headings = ["UPSTREAM", "OURS", "STATUS", "BEGAN", "SIZE", "STARTS IN", "IMAGE, OR WHY THERE IS NONE"]
    output.console().print(output.table(headings, [_row(each) for each in found]))


def _row(build: Build) -> tuple[str | Text, ...]:
    from atelier.client.webui import digest

    return (
        build.upstream[:12] or "-",
        build.source[:12] or "-",
        output.status(build.status),
        output.ago(build.moment),
        f"{build.size_bytes / 1e6:,.0f} MB" if build.size_bytes else "-",
        output.duration(build.startup_seconds) if build.startup_seconds else "-",
        Text(build.reason or digest(build.image)[:19] or "-"),
    )


@webui.command(cls=Command, examples=["atelier webui track"])
@with_prefix
@on_aws
@as_json
def track(prefix: str, aws: bool, as_json: bool) -> None:
    """Look at the upstream repository now, as the schedule does, and build what is new there."""
    webui = _webui(aws, prefix)
    look = webui.track()
    if as_json:
        output.emit(asdict(look))
        return
    console = output.console()
    console.print(look.summary or look.outcome, markup=False, soft_wrap=True)
    if look.outcome == "started":
        console.print(f"Run {look.run}: follow it with `atelier pipeline show {webui.pipeline}`.")
