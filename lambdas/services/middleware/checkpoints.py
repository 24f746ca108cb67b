"""Checkpoints: uploaded in parts or fetched from URLs, renamed, listed and deleted.

What is begun in S3 is begun before it is kept in the table, and what is kept there is deleted last: a
function killed between two writes leaves parts that the bucket's lifecycle deletes, or a checkpoint that is
listed and can be completed or deleted again. A name belongs to the checkpoint that claims it in the same
write.

A name is a word in the table alone: a file's key stays when its name changes. So a rename copies no
gigabytes, is done at once or not at all, and takes nothing from a job that is about to read the file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from atelier.contract.api.checkpoints import CreateCheckpointRequest, Part
from atelier.contract.values import Value
from atelier.lambdas.domain import sources
from atelier.lambdas.domain.accounts import Caller, User
from atelier.lambdas.domain.checkpoints import (
    EVERYBODYS,
    PICKLED,
    SAFE,
    Checkpoint,
    File,
    Source,
    checked_name,
    is_safe,
    unique,
)
from atelier.lambdas.errors import Conflict, Invalid, NotFound, Refused
from atelier.lambdas.ports.accounts import Accounts
from atelier.lambdas.ports.checkpoints import Checkpoints, Folders, Jobs, Uploads
from atelier.lambdas.services.middleware import headers
from atelier.lambdas.services.middleware.access import permissions, settled


class World(Value):
    """Where checkpoints and their files are kept."""

    checkpoints: Checkpoints
    uploads: Uploads
    folders: Folders


def plan(request: CreateCheckpointRequest, *, id: str, now: str, caller: Caller, pickled: bool) -> Checkpoint:
    """Return the checkpoint that is asked for; refuse what cannot be."""
    if (request.filenames is None) == (request.urls is None):
        raise Invalid("one of filenames and urls is required, and not both")
    paths = request.source_path or "", request.target_path or ""
    if request.checkpoint_type == "Comfy" and not all(paths):
        raise Invalid("source_path and target_path are required for Comfy")
    if any(".." in each.replace("\\", "/").split("/") or not each.isprintable() for each in paths):
        raise Invalid("source_path and target_path must be plain paths")
    planned = Checkpoint(
        id=id,
        type=request.checkpoint_type,
        creator=caller.name,
        roles=caller.user.roles,
        created=now,
        sources=tuple(_source(each, pickled) for each in request.urls or ()),
        message=(request.params and request.params.message) or "",
        source_path=paths[0],
        target_path=paths[1],
    )
    names = [checked_name(each.filename, pickled=pickled) for each in request.filenames or ()]
    unique([*names, *(each.name for each in planned.sources if each.name)])
    return replace(planned, files=tuple(File(name=each, key=planned.folder + each) for each in names))


def _source(url: str, pickled: bool) -> Source:
    """Return where to fetch a file; its name is the URL's where that is one of a file at all."""
    sources.place(url)
    name = sources.file_name(url)
    is_told = name.lower().endswith((SAFE, *PICKLED))
    return Source(url=url, name=checked_name(name, pickled=pickled) if is_told else "")


def upload(planned: Checkpoint, *, now: str, world: World) -> Checkpoint:
    """Begin to upload a checkpoint's files."""
    _make_room(planned, now, world)
    begun: list[File] = []
    try:
        for each in planned.files:
            begun.append(replace(each, upload=world.uploads.begin(each.key)))
        return settled(partial(claim, replace(planned, files=tuple(begun)), now, world))
    except Exception:  # the obligation: what was begun and is not kept is taken back, whatever happened
        for each in begun:
            world.uploads.abort(each)
        raise


def fetch(planned: Checkpoint, *, now: str, world: World, jobs: Jobs) -> Checkpoint:
    """Have a checkpoint's files fetched; when that cannot be asked for now, nothing is left of it."""
    kept = settled(partial(claim, planned, now, world))
    try:
        for position in range(len(kept.sources)):
            jobs.download(kept.id, position)
    except Exception:
        erase(kept.id, world)
        raise
    return kept


def claim(planned: Checkpoint, now: str, world: World) -> Checkpoint:
    """Keep a new checkpoint, if its names are free; who loses a race asks again."""
    _make_room(planned, now, world)
    return world.checkpoints.add(planned)


def _make_room(planned: Checkpoint, now: str, world: World) -> None:
    """Refuse names that are taken.

    Those of a checkpoint whose files will never come, or whose deletion was interrupted, are not.
    """
    for name, holder in world.checkpoints.holders(planned.type, planned.claims).items():
        other = world.checkpoints.get(holder)
        if other is not None and not other.is_abandoned(now) and other.status != "Deleting":
            raise Invalid(taken(name))
        erase(holder, world)


def taken(name: str) -> str:
    """Say that a name is another checkpoint's."""
    return f"{name} already exists, please use another or rename/delete exists"


def complete(
    id: str, tags: Mapping[str, Sequence[Part]] | None, *, caller: Caller, world: World
) -> Checkpoint:
    """Make files of their uploaded parts; once more is fine."""
    return settled(partial(_complete, id, tags or {}, caller, world))


def _complete(id: str, tags: Mapping[str, Sequence[Part]], caller: Caller, world: World) -> Checkpoint:
    was = _changeable(id, caller, world.checkpoints)
    if was.status == "Active":
        return was
    if was.status != "Initial":
        raise Invalid(f"checkpoint is {was.status}: {was.error or 'it cannot become Active'}")
    if was.origin:
        raise Invalid("checkpoint is being made and becomes Active by itself")
    if was.sources:
        raise Invalid("checkpoint is being downloaded and becomes Active by itself")
    _check_tags(was, tags)
    for file in was.files:
        world.uploads.complete(file, {each.PartNumber: each.ETag for each in tags[file.name]})
    if flaw := next(filter(None, (_flaw(each, world) for each in was.files)), None):
        disable(was, flaw, world)
        raise Invalid(flaw)
    try:
        return world.checkpoints.save(was.activated(), was=was)
    except Conflict:
        sweep(was, world)
        raise


def _check_tags(checkpoint: Checkpoint, tags: Mapping[str, Sequence[Part]]) -> None:
    if not tags or not all(tags.get(each) for each in checkpoint.names):
        raise Invalid("multi parts tags is empty")
    if surplus := sorted(set(tags) - set(checkpoint.names)):
        raise Invalid(f'multi parts tags: "{surplus[0][:100]}" is not a file of this checkpoint')
    for name, parts in tags.items():
        if len({each.PartNumber for each in parts}) != len(parts):
            raise Invalid(f'multi parts tags: a part of "{name}" is there twice')


def _flaw(file: File, world: World) -> str:
    return headers.flaw(file, world.uploads) if is_safe(file.name) else ""


def disable(was: Checkpoint, why: str, world: World) -> None:
    """Say why a checkpoint cannot be used, free its names and delete its files."""
    world.checkpoints.save(was.disabled(why), was=was)
    _clear(was, world)


def sweep(was: Checkpoint, world: World) -> None:
    """Leave no file of a checkpoint that another request deletes meanwhile, or has deleted."""
    current = world.checkpoints.get(was.id)
    if current is None or current.status in {"Deleting", "Disabled"}:
        world.folders.delete_folder(was.folder)


def _clear(checkpoint: Checkpoint, world: World) -> None:
    for file in checkpoint.files:
        if file.upload:
            world.uploads.abort(file)
    world.folders.delete_folder(checkpoint.folder)


def rename(id: str, name: str, *, caller: Caller, checkpoints: Checkpoints) -> Checkpoint:
    """Give a checkpoint's file another name."""
    return settled(partial(_rename, id, name, caller, checkpoints))


def _rename(id: str, name: str, caller: Caller, checkpoints: Checkpoints) -> Checkpoint:
    was = _changeable(id, caller, checkpoints)
    renamed = was.renamed(name)
    if renamed == was:
        return was
    if checkpoints.holders(was.type, renamed.claims - was.claims):
        raise Invalid(taken(renamed.names[0]))
    return checkpoints.save(renamed, was=was)


def _changeable(id: str, caller: Caller, checkpoints: Checkpoints) -> Checkpoint:
    """Return a checkpoint that the caller may change; to those who may not see it, it is not there."""
    found = checkpoints.get(id)
    if found is None or found.status == "Deleting" or not found.is_for(caller):
        raise NotFound("checkpoint not found")
    if not found.is_changed_by(caller):
        raise Refused(f"User {caller.name} has no permissions: ['{EVERYBODYS}']")
    return found


def delete(ids: Collection[str], *, world: World) -> None:
    """Delete checkpoints and their files; unknown ids are fine."""
    for id in dict.fromkeys(ids):
        erase(id, world)


def erase(id: str, world: World) -> None:
    """Delete a checkpoint: it is marked, its files go, and it is forgotten. Each step can be done again."""
    settled(partial(_erase, id, world))


def _erase(id: str, world: World) -> None:
    found = world.checkpoints.get(id)
    if found is None:
        return
    if found.status != "Deleting":
        found = world.checkpoints.save(replace(found, status="Deleting", sources=()), was=found)
    _clear(found, world)
    world.checkpoints.remove(found)


class Wanted(Value):
    """Which checkpoints to list: without a filter, all."""

    types: Collection[str] = ()
    statuses: Collection[str] = ()
    roles: Collection[str] = ()
    username: str | None = None


def listed(
    wanted: Wanted, *, caller: Caller, checkpoints: Checkpoints, accounts: Accounts
) -> list[Checkpoint]:
    """Return the checkpoints that the caller may see, and *username* too, the newest first."""
    viewers = [caller]
    if wanted.username not in {None, caller.name}:
        user = accounts.user(str(wanted.username))
        if user is None or user.leaving:
            return []
        viewers.append(_viewer(user, accounts))
    return [
        each
        for each in checkpoints.all(frozenset(wanted.types))
        if (not wanted.statuses or each.status in wanted.statuses)
        and (not wanted.roles or not set(wanted.roles).isdisjoint(each.roles))
        and all(each.is_for(viewer) for viewer in viewers)
    ]


def _viewer(user: User, accounts: Accounts) -> Caller:
    return Caller(user=user, permissions=permissions(user, accounts=accounts))
