"""The operations on checkpoints.

The function needs: on the table, GetItem, BatchGetItem, PutItem, DeleteItem, and Query on its indexes; on
``checkpoints/*`` of the bucket, PutObject, GetObject, DeleteObject, AbortMultipartUpload, and ListBucket with
that prefix; InvokeFunction on the function of `handlers.downloads`.
"""

from __future__ import annotations

import json
import uuid

from atelier.contract.api import checkpoints as bodies
from atelier.contract.operations import LONGEST_PAGE
from atelier.lambdas.bootstrap import accounts as access
from atelier.lambdas.bootstrap import checkpoints as wiring
from atelier.lambdas.bootstrap.checkpoints import Keeping
from atelier.lambdas.domain.checkpoints import Checkpoint
from atelier.lambdas.errors import Invalid
from atelier.lambdas.handlers.callers import callers
from atelier.lambdas.handlers.clock import now
from atelier.lambdas.handlers.http import Answer, Api, Call
from atelier.lambdas.services.middleware import checkpoints
from atelier.lambdas.services.middleware.checkpoints import Wanted, World

api = Api(callers)
handle = api.handle


@api.operation("ListCheckpoints")
def list_checkpoints(call: Call) -> Answer:
    """List a page of the checkpoints that the caller may see."""
    keeping, query = wiring.answering().keeping, call.query
    wanted = Wanted(
        types=query["types"], statuses=query["status"], roles=query["roles"], username=query["username"]
    )
    size = min(query["per_page"], LONGEST_PAGE)
    found = checkpoints.listed(
        wanted, caller=call.caller, checkpoints=keeping.checkpoints, accounts=access.access().accounts
    )
    page = query["page"]
    shown = found[(page - 1) * size : page * size]
    told = bodies.Checkpoints(
        page=page,
        per_page=size,
        pages=-(-len(found) // size),
        total=len(found),
        checkpoints=tuple(listing(each, keeping.bucket) for each in shown),
    )
    return Answer(200, told)


@api.operation("CreateCheckpoint")
def create_checkpoint(call: Call) -> Answer:
    """Begin an upload and say where its parts go, or have the files fetched."""
    body, answering = call.body, wiring.answering()
    keeping, time = answering.keeping, now()
    planned = checkpoints.plan(
        body, id=str(uuid.uuid4()), now=time, caller=call.caller, pickled=keeping.pickled
    )
    if planned.sources:
        checkpoints.fetch(planned, now=time, world=world(keeping), jobs=answering.jobs)
        return Answer(202, message="checkpoint is being downloaded")
    made = checkpoints.upload(planned, now=time, world=world(keeping))
    counts = {each.filename: each.parts_number for each in body.filenames}
    created = bodies.CreatedCheckpoint(
        checkpoint=bodies.NewCheckpoint(
            id=made.id,
            type=made.type,
            s3_location=location(made, keeping.bucket),
            status=made.status,
            params=params(made, keeping.bucket),
            source_path=made.source_path or None,
            target_path=made.target_path or None,
        ),
        s3PresignUrl={each.name: keeping.uploads.urls(each, counts[each.name]) for each in made.files},
    )
    return Answer(201, created, message="checkpoint created")


@api.operation("UpdateCheckpoint")
def update_checkpoint(call: Call) -> Answer:
    """End an upload, or give a checkpoint another name."""
    body, keeping = call.body, wiring.answering().keeping
    if (body.name is None) == (body.status is None):
        raise Invalid("one of status and name is required, and not both")
    if body.name is not None:
        checkpoints.rename(call.path["id"], body.name, caller=call.caller, checkpoints=keeping.checkpoints)
        return Answer(202, message="checkpoint renamed")
    if body.status != "Active":
        raise Invalid(f'status "{body.status[:100]}" should be Active')
    made = checkpoints.complete(
        call.path["id"], body.multi_parts_tags, caller=call.caller, world=world(keeping)
    )
    changed = bodies.ChangedCheckpoint(
        id=made.id,
        type=made.type,
        s3_location=location(made, keeping.bucket),
        status=made.status,
        params=params(made, keeping.bucket),
    )
    return Answer(200, bodies.UpdatedCheckpoint(checkpoint=changed), message="checkpoint updated")


@api.operation("DeleteCheckpoints")
def delete_checkpoints(call: Call) -> Answer:
    """Delete checkpoints with their files."""
    checkpoints.delete(call.body.checkpoint_id_list, world=world(wiring.answering().keeping))
    return Answer(204)


def world(keeping: Keeping) -> World:
    """Return where checkpoints and their files are kept."""
    return World(checkpoints=keeping.checkpoints, uploads=keeping.uploads, folders=keeping.folders)


def location(checkpoint: Checkpoint, bucket: str) -> str:
    """Return the address of a checkpoint's folder."""
    return f"s3://{bucket}/{checkpoint.folder.rstrip('/')}"


def params(checkpoint: Checkpoint, bucket: str) -> bodies.CheckpointParams:
    """Return what is told of a checkpoint to who uploads it."""
    uploads = {
        each.name: bodies.Upload(upload_id=each.upload, bucket=bucket, key=each.key)
        for each in checkpoint.files
    }
    return bodies.CheckpointParams(
        created=checkpoint.created,
        creator=checkpoint.creator,
        message=checkpoint.message,
        multipart_upload=uploads,
    )


def listing(checkpoint: Checkpoint, bucket: str) -> bodies.Checkpoint:
    """Return a checkpoint as it is listed; where it was fetched from may hold a secret and is not told."""
    told: dict[str, object] = {
        "created": checkpoint.created,
        "creator": checkpoint.creator,
        "message": checkpoint.message,
    }
    if digests := {each.name: each.sha256 for each in checkpoint.files if each.sha256}:
        told["sha256"] = digests
    if checkpoint.error:
        told["error"] = checkpoint.error
    if checkpoint.origin:
        told |= json.loads(checkpoint.origin)
    return bodies.Checkpoint(
        id=checkpoint.id,
        s3Location=location(checkpoint, bucket),
        type=checkpoint.type,
        status=checkpoint.status,
        name=checkpoint.names,
        created=checkpoint.created,
        params=told,
        allowed_roles_or_users=tuple(dict.fromkeys((checkpoint.creator, *checkpoint.roles))),
        source_path=checkpoint.source_path or None,
        target_path=checkpoint.target_path or None,
    )
