"""Runs: the history of the pipeline, and what becomes of an upstream commit that gave no image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from atelier.contract.values import Value
from atelier.contract.webui import LATEST_GOOD, RunChange
from atelier.lambdas.domain.webui import Commit, CommitStatus, Execution, Run, RunStatus
from atelier.lambdas.ports.webui import History, People, Pipeline

BEGINS = frozenset({"STARTED", "RESUMED"})
ENDS: Mapping[str, RunStatus] = {
    "FAILED": "failed",
    "SUPERSEDED": "superseded",
    "STOPPED": "stopped",
    "CANCELED": "stopped",
}
COMMITS: Mapping[RunStatus, CommitStatus] = {
    "failed": "failed",
    "rejected": "rejected",
    "superseded": "superseded",
    "stopped": "stopped",
}
APPROVAL = "Approve"
PAUSES = (600, 3600)
"""Seconds before a commit that failed is tried again; after these tries it is left alone."""


class World(Value):
    """What keeps the history."""

    pipeline: Pipeline
    history: History
    people: People


def follow(change: RunChange, *, world: World) -> Run:
    """Write down a change of a run; what is known already changes nothing, so it may be told twice."""
    found = world.history.run(change.run)
    if found is not None and found.status == "published":  # the end of the last action comes too late
        return found
    execution = world.pipeline.describe(change.run)
    run = described(found or Run(run=change.run, status="building", started=change.at), execution)
    if change.state in BEGINS:
        return _begun(run, change, found, world)
    status = ENDS[change.state]
    if status == "failed" and execution.failed == APPROVAL:
        status = "rejected"
    reason = execution.reason or None
    if found is not None and (found.status, found.reason) == (status, reason):
        return found
    commit = _ended(run, status, reason, now=change.at, world=world)
    tell(replace(run, status=status, reason=reason), commit, people=world.people)
    return world.history.save_run(replace(run, status=status, ended=change.at, reason=reason))


def described(run: Run, execution: Execution) -> Run:
    """Return a run with what CodePipeline knows of it by now."""
    built = execution.outputs.get("Build", {})
    given = execution.variables.get("UPSTREAM_COMMIT", LATEST_GOOD)
    return replace(
        run,
        upstream=built.get("UPSTREAM_COMMIT") or given,
        upstream_url=built.get("UPSTREAM_URL") or run.upstream_url,
        source=execution.source or run.source,
        tag=built.get("IMAGE_TAG") or run.tag,
        image=built.get("IMAGE_URI") or run.image,
        trigger="push" if given == LATEST_GOOD else "upstream",
    )


def _begun(run: Run, change: RunChange, found: Run | None, world: World) -> Run:
    if found is not None and (change.state == "STARTED" or found.status == "building"):
        return found  # it was told before, or late
    commit = _commit_of(run, world.history)
    if commit is not None and commit.status in COMMITS.values():
        world.history.save_commit(replace(commit, status="started", again=None))
    return world.history.save_run(replace(run, status="building", ended=None, reason=None))


def _ended(run: Run, status: RunStatus, reason: str | None, *, now: str, world: World) -> Commit | None:
    """Write down what became of the run's upstream commit, if the run was started for it."""
    commit = _commit_of(run, world.history)
    if commit is None or commit.status in COMMITS.values():
        return commit
    failures = commit.failures + (status == "failed")
    again = None
    if status == "failed" and failures <= len(PAUSES):
        pause = timedelta(seconds=PAUSES[failures - 1])
        again = (datetime.fromisoformat(now) + pause).isoformat(timespec="seconds")
    ended = replace(
        commit, status=COMMITS[status], run=run.run, failures=failures, again=again, reason=reason
    )
    return world.history.save_commit(ended)


def _commit_of(run: Run, history: History) -> Commit | None:
    """Return the upstream commit that a run was started for; it may fail before its start is kept."""
    commit = history.commit(run.upstream)
    if commit is None:
        return None
    is_pending = commit.status == "starting" and commit.run is None
    return commit if commit.run == run.run or is_pending else None


def tell(run: Run, commit: Commit | None, *, people: People) -> None:
    """Tell people of a run that needs one of them."""
    if run.status not in {"failed", "rejected"}:
        return
    lines = [
        f"Upstream's commit {run.upstream}, our commit {run.source or 'unknown'}, run {run.run}.",
        run.reason or "No reason is given.",
        "The latest good image stays what it was.",
    ]
    if run.status == "failed" and commit is not None:
        lines.append(
            f"It is tried again at {commit.again}." if commit.again else "It is not tried again by itself."
        )
    outcome = "failed" if run.status == "failed" else "was rejected"
    people.tell(f"The WebUI's image {outcome}", "\n".join(lines))
