"""The operations on merges."""

from __future__ import annotations

import uuid
from typing import Any

from atelier.contract.api import merges as bodies
from atelier.contract.api.work import LinkedFile, Progress
from atelier.lambdas.bootstrap import work as wiring
from atelier.lambdas.domain.work import Work
from atelier.lambdas.handlers.callers import callers
from atelier.lambdas.handlers.clock import now
from atelier.lambdas.handlers.http import Answer, Api, Call
from atelier.lambdas.handlers.worlds import world
from atelier.lambdas.services.middleware import merges, reports, work

api = Api(callers)
handle = api.handle

EVERYBODYS = "checkpoint:all"


@api.operation("ListMerges")
def list_merges(call: Call) -> Answer:
    """List a page of merges."""
    works, query = wiring.running().keeping.works, call.query
    page = work.listed("merge", limit=query["limit"], start=query["exclusive_start_key"], works=works)
    told = tuple(bodies.Merge(**row(each)) for each in page.items)
    return Answer(200, bodies.Merges(merges=told, last_evaluated_key=page.token))


@api.operation("MergeCheckpoints")
def merge_checkpoints(call: Call) -> Answer:
    """Begin a merge."""
    ports = wiring.running()
    made = merges.create(
        call.body,
        id=str(uuid.uuid4()),
        result=str(uuid.uuid4()),
        now=now(),
        caller=call.caller,
        instance_type=ports.instance_type,
        world=world(ports.keeping),
        models=ports.models,
        executions=ports.executions,
    )
    return Answer(202, bodies.CreatedMerge(merge=bodies.Merge(**row(made))), message="merge begun")


@api.operation("GetMerge")
def get_merge(call: Call) -> Answer:
    """Show a merge, as far as it is."""
    keeping = wiring.running().keeping
    found = work.get(call.path["id"], "merge", works=keeping.works)
    report = reports.read(found, keeping.files)
    logs = tuple(
        LinkedFile(filename=each, url=keeping.files.download_url(f"{found.report}{each}"))
        for each in report.logs
    )
    told = bodies.MergeDetail(**row(found), logs=logs, progress=progress(report), result=report.result)
    return Answer(200, told)


@api.operation("StopMerge")
def stop_merge(call: Call) -> Answer:
    """Stop a merge."""
    ports = wiring.running()
    found = work.stop(
        call.path["id"],
        "merge",
        caller=call.caller,
        everybodys=EVERYBODYS,
        now=now(),
        world=world(ports.keeping),
        executions=ports.executions,
    )
    return Answer(200, bodies.StoppedMerge(id=found.id, status=found.status), message="merge stopped")


@api.operation("DeleteMerges")
def delete_merges(call: Call) -> Answer:
    """Delete merges."""
    ports = wiring.running()
    work.delete(
        call.body.merge_id_list,
        "merge",
        now=now(),
        world=world(ports.keeping),
        executions=ports.executions,
    )
    return Answer(204)


def row(found: Work) -> dict[str, Any]:
    """Return the members of a merge as it is listed."""
    asked = found.asked
    parents = [
        bodies.MergeParent(id=each.id, name=each.name, sha256=each.sha256 or None) for each in found.parents
    ]
    return {
        "id": found.id,
        "status": found.status,
        "method": asked["method"],
        "multiplier": asked["multiplier"],
        "precision": asked["precision"],
        "output_name": asked["output_name"],
        "parents": tuple(parents),
        "creator": found.creator,
        "created": found.created,
        "completed": found.completed or None,
        "checkpoint_id": found.result if found.status == "Completed" else None,
        "error": found.error or None,
    }


def progress(report: reports.Report) -> Progress | None:
    """Return how much was done when the container last said so."""
    last = report.metrics[-1] if report.metrics else {}
    done, of, at = (last.get(name) for name in ("done", "of", "at"))
    if isinstance(done, (int, float)) and isinstance(of, (int, float)) and isinstance(at, str):
        return Progress(done=done, of=of, at=at)
    return None
