"""`atelier up`, `down`, `status`, `logs` and `env`: the local cloud itself."""

from __future__ import annotations

import shlex
import sys
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path

import click

from atelier.cli.connect import as_json, with_engine
from atelier.cli.errors import Command, Ended, Pending
from atelier.cli.output import console, duration, emit

PORTS = click.IntRange(1, 65535)


@click.command(
    cls=Command,
    examples=[
        "atelier up",
        "atelier up --port 4566",
        "atelier up --engine docker",
        'eval "$(atelier env)" && aws s3 ls',
    ],
)
@click.option("--port", type=PORTS, help="Listen on this port [default: the last one used, or a free one].")
@click.option(
    "--log-level", default="INFO", type=click.Choice(["DEBUG", "INFO", "WARNING"]), show_default=True
)
@with_engine
@as_json
def up(port: int | None, log_level: str, engine: str, as_json: bool) -> None:
    """Start the local cloud and wait until it answers.

    It listens on 127.0.0.1 only, and every call must be signed. A cloud that runs already is left as it is.
    What was deployed before is there again: state lives under $ATELIER_HOME (default: .atelier).

    Containers run in Docker where it answers, else as plain processes. A home keeps the engine that its
    images were made for.
    """
    from atelier.cloud.gateway import launch

    home, began = launch.default_home(), time.monotonic()
    before = launch.status(home).running
    found = launch.start(home, port, log_level, engine)
    seconds = round(time.monotonic() - began, 2)
    now = launch.status(home)
    if as_json:
        made = {"endpoint": found.endpoint, "home": str(home), "started": not before, "seconds": seconds}
        emit({**made, "engine": now.engine, "engine_reason": now.engine_reason})
        return
    how = "runs already" if before else f"is up after {duration(seconds)}"
    console().print(f"The local cloud {how}: {found.endpoint}", soft_wrap=True)
    console().print(f"Containers: {now.engine} ({now.engine_reason})", soft_wrap=True, markup=False)


@click.command(cls=Command, examples=["atelier down"])
@as_json
def down(as_json: bool) -> None:
    """Stop the local cloud; what is deployed in it comes back with the next `atelier up`."""
    from atelier.cloud.gateway import launch

    home = launch.default_home()
    stopped = launch.stop(home)
    if as_json:
        emit({"home": str(home), "stopped": stopped})
        return
    console().print("The local cloud is down." if stopped else "No local cloud was running.")


@click.command(cls=Command, examples=["atelier status", "atelier status --json"])
@as_json
def status(as_json: bool) -> None:
    """Say whether the local cloud runs, where, and how much memory it takes.

    Exits with 0 when it runs and with 3 when it does not.
    """
    from atelier.cloud.gateway import launch

    found = launch.status(launch.default_home())
    if as_json:
        emit(asdict(found))
    elif found.running:
        memory = f"{(found.memory or 0) / 2**20:.0f} MB"
        console().print(
            f"Up: {found.endpoint}  (process {found.pid}, {memory})\nHome: {found.home}\n"
            f"Containers: {found.engine} ({found.engine_reason})",
            soft_wrap=True,
        )
    else:
        console().print(f"Down. Start it with `atelier up`.\nHome: {found.home}", soft_wrap=True)
    sys.exit(0 if found.running else Pending.exit_code)


@click.command(cls=Command, examples=["atelier logs", "atelier logs --follow --lines 20"])
@click.option("--follow", "-f", is_flag=True, help="Go on as the log grows, until Ctrl-C.")
@click.option("--lines", "-n", type=click.IntRange(min=0), default=100, show_default=True)
def logs(follow: bool, lines: int) -> None:
    """Show the end of the local cloud's own log.

    Logs of builds, training jobs and functions are in CloudWatch Logs:
    `eval "$(atelier env)" && aws logs tail /aws/codebuild/NAME`.
    """
    from atelier.cloud.gateway.launch import default_home
    from atelier.cloud.gateway.settings import Home

    log = Home(root=default_home()).log
    if not log.exists():
        raise Ended(f"there is no log yet at {log}: start the local cloud with `atelier up`")
    _print_log(log, lines, follow)


def _print_log(log: Path, lines: int, follow: bool) -> None:
    with log.open(encoding="utf-8", errors="replace") as file:
        for line in deque(file, maxlen=lines):
            click.echo(line, nl=False)
        while follow:
            if line := file.readline():
                click.echo(line, nl=False)
            else:
                time.sleep(0.2)


@click.command(cls=Command, examples=['eval "$(atelier env)"', "aws s3 ls"])
@as_json
def env(as_json: bool) -> None:
    """Print the variables that point any AWS tool at the local cloud, as its administrator.

    It is for your shell: `eval "$(atelier env)"`, and the aws command, boto3 and every other SDK talk to the
    local cloud. Commands of atelier need none of it. What is printed holds a secret key, which opens nothing
    but this local cloud.
    """
    from atelier.cloud.gateway import launch

    variables = launch.connection(launch.default_home()).environment()
    if as_json:
        emit(variables)
        return
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
