"""What trainings and merges make: a checkpoint whose name is reserved before the work begins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from atelier.contract.api.checkpoints import CheckpointType
from atelier.lambdas.domain.accounts import Caller
from atelier.lambdas.domain.checkpoints import Checkpoint, File, checked_name, is_safe
from atelier.lambdas.domain.work import Work
from atelier.lambdas.errors import Failed, Invalid
from atelier.lambdas.services.middleware import checkpoints, headers
from atelier.lambdas.services.middleware.access import settled
from atelier.lambdas.services.middleware.checkpoints import World

TYPES: Mapping[str, CheckpointType] = {"lora": "Lora", "merge": "Stable-diffusion"}


def file_name(output_name: str) -> str:
    """Return what the file is called that is asked for; refuse what would be no plain name."""
    if is_safe(output_name):
        raise Invalid(f'output_name "{output_name}" must be without .safetensors')
    return checked_name(f"{output_name}.safetensors", pickled=False)


def planned(id: str, kind: str, name: str, *, caller: Caller, now: str) -> Checkpoint:
    """Return the checkpoint that work is to make."""
    made = Checkpoint(id=id, type=TYPES[kind], creator=caller.name, roles=caller.user.roles, created=now)
    return replace(made, files=(File(name=name, key=made.folder + name),))


def reserve(wanted: Checkpoint, work: Work, *, world: World) -> None:
    """Keep the name free for the work's result; refuse one that is taken."""
    parents = [{"id": each.id, "name": each.name, "sha256": each.sha256} for each in work.parents]
    origin = {"made_by": {"kind": work.kind, "id": work.id}, "parents": parents}
    settled(partial(checkpoints.claim, replace(wanted, origin=json.dumps(origin)), work.created, world))


def keep(id: str, sha256: str, *, world: World) -> None:
    """Let a checkpoint be used, now that its file is in place; once more is fine."""
    settled(partial(_keep, id, sha256, world))


def _keep(id: str, sha256: str, world: World) -> None:
    was = world.checkpoints.get(id)
    if was is None or was.status in {"Deleting", "Disabled"}:
        if was is not None:
            world.folders.delete_folder(was.folder)
        raise Failed("the checkpoint was deleted before it was made")
    if was.status == "Active":
        return
    file = was.files[0]
    if flaw := headers.flaw(file, world.uploads):
        raise Failed(f"what was made cannot be used: {flaw}")
    world.checkpoints.save(was.with_file(replace(file, sha256=sha256)).activated(), was=was)


def discard(id: str, *, world: World) -> None:
    """Give a reserved name back, with whatever is in place; none is fine."""
    checkpoints.erase(id, world)
