"""`atelier pipeline`: follow and steer what a push has started."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from atelier.cli import output
from atelier.cli.connect import as_json, assignments, clients, on_aws
from atelier.cli.errors import Command, Group

if TYPE_CHECKING:
    from atelier.client.pipelines import Action, Execution, Pipelines

NAME = click.argument("name", required=False)


@click.group(cls=Group, examples=["atelier pipeline show", "atelier pipeline approve --comment 'reads well'"])
def pipeline() -> None:
    """Follow and steer the pipelines."""


def _pipelines(aws: bool) -> Pipelines:
    from atelier.client.pipelines import Pipelines

    return Pipelines(clients=clients(aws))


@pipeline.command("list", cls=Command, examples=["atelier pipeline list"])
@on_aws
@as_json
def show_all(aws: bool, as_json: bool) -> None:
    """List the pipelines, each with its newest run."""
    pipelines = _pipelines(aws)
    found = [(name, _newest(pipelines, name)) for name in pipelines.names()]
    if as_json:
        output.emit({"pipelines": [{"name": name, "latest": run and document(run)} for name, run in found]})
        return
    if not found:
        output.console().print("No pipeline yet: run `atelier deploy`.")
        return
    rows = [(name, output.status(run.status if run else "never ran"), *_last(run)) for name, run in found]
    output.console().print(output.table(["PIPELINE", "STATUS", "COMMIT", "NOW AT", "RUN"], rows))


def _newest(pipelines: Pipelines, name: str) -> Execution | None:
    run = pipelines.latest(name)
    return pipelines.execution(name, run) if run else None


def _last(run: Execution | None) -> tuple[str, str, str]:
    if run is None:
        return "-", "-", "-"
    reached = [each.stage for each in run.actions if each.started]
    return output.short(run.commit), reached[-1] if reached else "-", run.id


@pipeline.command(
    cls=Command, examples=["atelier pipeline show", "atelier pipeline show --json | jq .actions"]
)
@NAME
@click.option("--run", "run_id", help="Show this run instead of the newest one.")
@on_aws
@as_json
def show(name: str | None, run_id: str | None, aws: bool, as_json: bool) -> None:
    """Show every action of a run: its status, its time, and the reason when it failed.

    NAME may be left out when there is one pipeline.
    """
    pipelines = _pipelines(aws)
    name = pipelines.only(name)
    run_id = run_id or pipelines.latest(name)
    if run_id is None:
        if as_json:
            output.emit({"name": name, "latest": None})
        else:
            output.console().print(
                f"{name} never ran: push a commit, or run `atelier pipeline start {name}`."
            )
        return
    run = pipelines.execution(name, run_id)
    if as_json:
        output.emit(document(run))
        return
    _print(run)


def _print(run: Execution) -> None:
    console = output.console()
    commit = f", commit {output.short(run.commit)}" if run.commit else ""
    console.print(
        Text.assemble((run.pipeline, "bold"), f" run {run.id} is ", output.status(run.status), commit)
    )
    if run.variables:
        console.print("with " + ", ".join(f"{key}={value}" for key, value in sorted(run.variables.items())))
    rows = [(*_row(each),) for each in run.actions]
    console.print(output.table(["STAGE", "ACTION", "STATUS", "STARTED", "TOOK", "WHAT IT SAYS"], rows))
    if waiting := run.waiting:
        for line in facts(run, waiting):
            console.print(f"  {line}", markup=False, soft_wrap=True)
        console.print(
            f"Waiting for you: `atelier pipeline approve {run.pipeline}` or "
            f"`atelier pipeline reject {run.pipeline} --comment WHY`"
        )


def _row(action: Action) -> Iterator[Any]:
    yield action.stage
    yield action.name
    yield output.status("waits for you" if action.is_waiting else action.status)
    yield output.ago(action.started)
    yield output.duration(action.seconds) if action.started else "-"
    yield Text(action.reason or action.summary or "-")  # what commands wrote is no markup


def facts(run: Execution, waiting: Action) -> list[str]:
    """Return what a person should know before deciding: the approval's own words, or what was handed on."""
    asked = [each.strip() for each in waiting.configuration.get("CustomData", "").splitlines()]
    return [each for each in asked if each] or [f"{name}: {value}" for name, value in run.outputs.items()]


@pipeline.command(cls=Command, examples=["atelier pipeline start -v DATA_VERSION=latest"])
@NAME
@click.option(
    "--variable", "-v", "variables", multiple=True, metavar="NAME=VALUE", help="Set a pipeline variable."
)
@on_aws
@as_json
def start(name: str | None, variables: tuple[str, ...], aws: bool, as_json: bool) -> None:
    """Start a run of what the repository holds now."""
    given = dict(assignments(variables, "--variable"))
    pipelines = _pipelines(aws)
    name = pipelines.only(name)
    run_id = pipelines.start(name, given)
    if as_json:
        output.emit({"name": name, "execution_id": run_id})
        return
    output.console().print(f"Started {name}, run {run_id}. Follow it with `atelier pipeline show {name}`.")


@pipeline.command(
    cls=Command, examples=["atelier pipeline push", "atelier pipeline push atelier-training --aws"]
)
@NAME
@on_aws
@as_json
def push(name: str | None, aws: bool, as_json: bool) -> None:
    """Push the commit that is checked out here to the repository that a pipeline follows: so it starts.

    A commit that is there already starts nothing. What is not committed stays behind.
    """
    from atelier.client import repositories

    pipelines = _pipelines(aws)
    name = pipelines.only(name)
    head = repositories.head(Path.cwd())
    to = repositories.source(pipelines.clients, name)
    pushed = repositories.push(pipelines.clients, head.root, to)
    if as_json:
        output.emit({"name": name, "repository": to.repository, "branch": to.branch, **asdict(pushed)})
        return
    word = "Pushed" if pushed.is_news else "Nothing to push:"
    place = f"to branch {to.branch} of {to.repository}" if pushed.is_news else "is there already"
    output.console().print(f"{word} {output.short(head.commit)} “{head.subject}” {place}.", markup=False)
    if left := len(head.uncommitted):
        output.console(stderr=True).print(f"Files that are not committed, and so not pushed: {left}.")


COMMENT = click.option("--comment", "-m", help="Why; kept with the model's version.")
RUN = click.option("--run", "run_id", help="Decide only if this run is the one that waits.")


@pipeline.command(cls=Command, examples=['atelier pipeline approve --comment "better than version 3"'])
@NAME
@COMMENT
@RUN
@on_aws
@as_json
def approve(name: str | None, comment: str | None, run_id: str | None, aws: bool, as_json: bool) -> None:
    """Approve the model that waits: it is registered, and served from then on."""
    _decide(name, run_id, aws, as_json, approve=True, comment=comment or "approved")


@pipeline.command(cls=Command, examples=['atelier pipeline reject --comment "repeats itself"'])
@NAME
@click.option("--comment", "-m", required=True, help="Why; kept with the model's version.")
@RUN
@on_aws
@as_json
def reject(name: str | None, comment: str, run_id: str | None, aws: bool, as_json: bool) -> None:
    """Reject the model that waits: what serves now goes on serving."""
    _decide(name, run_id, aws, as_json, approve=False, comment=comment)


def _decide(
    name: str | None, run_id: str | None, aws: bool, as_json: bool, *, approve: bool, comment: str
) -> None:
    pipelines = _pipelines(aws)
    name = pipelines.only(name)
    action = pipelines.decide(name, approve=approve, comment=comment, execution_id=run_id)
    decision = "approved" if approve else "rejected"
    if as_json:
        output.emit({"name": name, "stage": action.stage, "action": action.name, "decision": decision})
        return
    output.console().print(f"{name}: {action.name} {decision}. See `atelier pipeline show {name}`.")


def document(run: Execution) -> dict[str, Any]:
    """Return a run as programs read it."""
    return {
        "name": run.pipeline,
        "execution_id": run.id,
        "status": run.status,
        "summary": run.summary,
        "commit": run.commit,
        "trigger": run.trigger,
        "variables": dict(run.variables),
        "actions": [
            {
                "stage": each.stage,
                "action": each.name,
                "status": each.status,
                "started": each.started,
                "seconds": round(each.seconds, 3),
                "reason": each.reason,
                "summary": each.summary,
                "waits_for_approval": each.is_waiting,
                "external_id": each.external_id,
                "variables": dict(each.variables),
            }
            for each in run.actions
        ],
    }
