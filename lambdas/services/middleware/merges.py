"""Merges: which checkpoints are meant, checked before anything begins."""

from __future__ import annotations

import json
from functools import partial

from atelier.contract.api.merges import PARENTS, MergeCheckpointsRequest
from atelier.contract.schema import dump
from atelier.lambdas.domain.accounts import Caller
from atelier.lambdas.domain.checkpoints import is_safe
from atelier.lambdas.domain.inferences import Model
from atelier.lambdas.domain.work import Work
from atelier.lambdas.errors import Invalid
from atelier.lambdas.ports.work import Executions, Models
from atelier.lambdas.services.middleware import products, work
from atelier.lambdas.services.middleware.parents import CHECKPOINT, parent
from atelier.lambdas.services.middleware.work import World


def create(
    request: MergeCheckpointsRequest,
    *,
    id: str,
    result: str,
    now: str,
    caller: Caller,
    instance_type: str,
    world: World,
    models: Models,
    executions: Executions,
) -> Work:
    """Begin a merge; *result* is the id of the checkpoint that it will make."""
    wants = PARENTS[request.method]
    if len(request.checkpoints) != wants:
        raise Invalid(f"{request.method} takes {wants} checkpoints, found {len(request.checkpoints)}")
    found = [_model(each, caller, models) for each in request.checkpoints]
    name = products.file_name(request.output_name)
    wanted = products.planned(result, "merge", name, caller=caller, now=now)
    planned = Work(
        id=id,
        kind="merge",
        creator=caller.name,
        created=now,
        name=name,
        result=result,
        output=wanted.files[0].key,
        request=json.dumps(dump(request)),
        instance_type=instance_type,
        parents=tuple(map(parent, found)),
    )
    reserve = partial(products.reserve, wanted, planned, world=world.checkpoints)
    return work.start(planned, planned.asked, reserve=reserve, world=world, executions=executions)


def _model(wanted: str, caller: Caller, models: Models) -> Model:
    """Return the checkpoint of a name, or of an id."""
    listed = models.get(wanted)
    names = listed.names if listed is not None and listed.type == CHECKPOINT else ()
    found = models.find(CHECKPOINT, names[0] if len(names) == 1 else wanted, caller)
    # the name of one that is of no use may be another's by now
    if found is None or (listed is not None and found.id != listed.id):
        raise Invalid(f"checkpoint with name {wanted} not found")
    if not is_safe(found.name):
        raise Invalid(f"{found.name} is not a .safetensors file: only those are merged")
    return found
