"""Datasets: made, filled, listed, enabled, cropped and deleted.

The bucket is the truth of which files are in place; manifests say what their maker said of them. A file's
link is worth its folder, which an earlier dataset of the same name never shares.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from atelier.contract.api.datasets import CreateDatasetRequest, DatasetStatus
from atelier.contract.values import Value
from atelier.lambdas.domain.accounts import Caller
from atelier.lambdas.domain.datasets import Crop, Dataset, Entry, is_picture, path
from atelier.lambdas.domain.pages import Cursor, Page, cursor, first
from atelier.lambdas.domain.work import Work
from atelier.lambdas.errors import Conflict, Invalid, NotFound
from atelier.lambdas.ports.work import Datasets, Executions, Files
from atelier.lambdas.services.middleware import manifests, work
from atelier.lambdas.services.middleware.access import settled
from atelier.lambdas.services.middleware.work import World

KIND = "dataset"
LARGEST_SIDE = 4096
LONGEST_NAME = 100
"""Of what was cropped again and again: requests name no longer one."""
SHORT = 12
"""Characters that tell a dataset from an earlier one of its name."""


class Shown(Value):
    """A file of a dataset, and whether it is in place."""

    entry: Entry
    key: str
    size: int | None


class Opened(Value):
    """A dataset with some of its files; *last* is where the next ones go on."""

    dataset: Dataset
    files: tuple[Shown, ...]
    last: Cursor | None


def create(
    request: CreateDatasetRequest, *, caller: Caller, now: str, datasets: Datasets, files: Files
) -> tuple[Dataset, Mapping[str, str]]:
    """Make a dataset, or add files to one; return it and each file's key by the name that was given."""
    places = _places(request)
    dataset = settled(partial(_opened, request, caller, now, datasets, _random()))
    if fresh := _fresh(dataset, places, files):
        dataset = settled(partial(_grown, dataset, fresh, datasets, files))
    return dataset, {name: f"{dataset.folder}{each.path}" for name, each in places.items()}


def _places(request: CreateDatasetRequest) -> dict[str, Entry]:
    places: dict[str, Entry] = {}
    for each in request.content:
        if each.filename in places:
            raise Invalid(f"filename {ascii(each.filename)[:120]} is there twice")
        place = path(request.prefix, each.filename)
        places[each.filename] = Entry(path=place, name=each.name or each.filename, type=each.type)
    return places


def _random() -> str:
    return uuid.uuid4().hex[:SHORT]


def _opened(request: CreateDatasetRequest, caller: Caller, now: str, datasets: Datasets, uid: str) -> Dataset:
    """Return the dataset that is there, if it may grow, or a new one."""
    was = datasets.get(request.dataset_name)
    if was is None:
        made = Dataset(
            name=request.dataset_name,
            uid=uid,
            creator=caller.name,
            created=now,
            prefix=request.prefix,
            description=request.params.description if request.params else "",
        )
        return datasets.add(made)
    if was.status != "Initialed" or was.crop is not None:
        raise Invalid(
            f"dataset {was.name} already exists and is {was.status}: only an Initialed one may grow"
        )
    return was


def _fresh(dataset: Dataset, places: Mapping[str, Entry], files: Files) -> list[Entry]:
    """Return what the manifests do not know yet."""
    known = manifests.known(dataset, files=files) if dataset.parts else set()
    fresh = [each for each in places.values() if each.path not in known]
    return sorted(fresh, key=lambda each: each.path)


def _grown(dataset: Dataset, fresh: Sequence[Entry], datasets: Datasets, files: Files) -> Dataset:
    """Count another manifest and write it; of two who count at once each has a number of its own."""
    was = datasets.get(dataset.name)
    if was is None or was.uid != dataset.uid:
        raise Invalid(f"dataset {dataset.name} was deleted meanwhile")
    grown = datasets.save(replace(was, parts=was.parts + 1), was=was)
    manifests.write(was, was.parts, fresh, files=files)
    return grown


def listed(*, status: str | None, limit: int, start: str | None, datasets: Datasets) -> Page[Dataset]:
    """Return datasets of a status, or of any, the newest first."""
    of = f"{KIND}#{status or ''}"
    newest = datasets.newest(KIND, cursor(start, of=of))
    found = (each for each in newest if status in {None, each.status})
    return first(found, limit, of=of, at=lambda dataset: (dataset.created, dataset.name))


def get(name: str, *, datasets: Datasets) -> Dataset:
    """Return a dataset."""
    found = datasets.get(name)
    if found is None:
        raise NotFound(f"dataset {name[:100]} is not found")
    return found


def opened(name: str, *, start: str | None, datasets: Datasets, files: Files) -> Opened:
    """Return a dataset with some of its files, as its manifests have them."""
    dataset = get(name, datasets=datasets)
    after = cursor(start, of=dataset.folder)
    number = int(after.id) if after and after.id.isdecimal() else 0
    entries = manifests.read(dataset, number, files=files) if number < dataset.parts else []
    keys = [f"{dataset.folder}{each.path}" for each in entries]
    sizes = _sizes(dataset, keys, files)
    shown = [Shown(entry=each, key=key, size=sizes.get(key)) for each, key in zip(entries, keys, strict=True)]
    is_more = number + 1 < dataset.parts
    last = Cursor(of=dataset.folder, at=dataset.created, id=str(number + 1)) if is_more else None
    return Opened(dataset=dataset, files=tuple(shown), last=last)


def _sizes(dataset: Dataset, keys: Sequence[str], files: Files) -> dict[str, int]:
    """Return the sizes of those files that are in place."""
    if not keys:
        return {}
    # a listing begins after a key: the first one's last character is left out
    return dict(files.sizes(dataset.folder, after=min(keys)[:-1], until=max(keys)))


def update(name: str, status: DatasetStatus, *, datasets: Datasets, files: Files) -> Dataset:
    """Give a dataset another status; one without a picture is not enabled."""
    return settled(partial(_update, name, status, datasets, files))


def _update(name: str, status: DatasetStatus, datasets: Datasets, files: Files) -> Dataset:
    was = get(name, datasets=datasets)
    if was.is_being_made:
        raise Invalid(f"dataset {name} is being cropped, wait for its end")
    if was.status == status:
        return was
    if status == "Enabled" and not has_pictures(was, files):
        raise Invalid(f"dataset {name} has no pictures yet: upload them before you enable it")
    return datasets.save(replace(was, status=status), was=was)


def has_pictures(dataset: Dataset, files: Files) -> bool:
    """Say whether a picture is in place."""
    return any(size and is_picture(key) for key, size in files.sizes(dataset.folder))


def crop(
    name: str,
    max_resolution: str,
    *,
    id: str,
    now: str,
    caller: Caller,
    instance_type: str,
    world: World,
    executions: Executions,
) -> Dataset:
    """Begin to make a dataset of another one's pictures, cropped."""
    source = get(name, datasets=world.datasets)
    made = _cropped(source, max_resolution, id=id, now=now, caller=caller)
    if world.datasets.get(made.name) is not None:
        raise Invalid(f"dataset {made.name} already exists, please use another or delete it")
    if source.is_being_made or not has_pictures(source, world.files):
        raise Invalid(f"dataset {name} has no pictures yet")
    planned = Work(
        id=id,
        kind="crop",
        creator=caller.name,
        created=now,
        name=made.name,
        result=made.name,
        output=made.folder,
        request=json.dumps({"max_resolution": max_resolution}),
        instance_type=instance_type,
        dataset=source.name,
        source=source.folder,
    )
    reserve = partial(_reserve, made, world.datasets)
    work.start(planned, planned.asked, reserve=reserve, world=world, executions=executions)
    return made


def _cropped(source: Dataset, max_resolution: str, *, id: str, now: str, caller: Caller) -> Dataset:
    if not max_resolution.isascii() or max(map(int, max_resolution.split("x"))) > LARGEST_SIDE:
        raise Invalid(f"max_resolution must be at most {LARGEST_SIDE}x{LARGEST_SIDE}")
    name = f"{source.name}_{max_resolution}"
    if len(name) > LONGEST_NAME:
        raise Invalid(f"dataset {name} would have too long a name: at most {LONGEST_NAME} characters")
    return Dataset(
        name=name,
        uid=id.replace("-", "")[:SHORT],
        creator=caller.name,
        created=now,
        prefix=source.prefix,
        description=source.description,
        crop=Crop(work=id, of=source.name, max_resolution=max_resolution, status="InProgress"),
    )


def _reserve(made: Dataset, datasets: Datasets) -> None:
    try:
        datasets.add(made)
    except Conflict as error:
        raise Invalid(f"dataset {made.name} already exists, please use another or delete it") from error


def delete(names: Sequence[str], *, now: str, world: World, executions: Executions) -> None:
    """Delete datasets with their files; a crop that makes one is stopped; unknown names are fine."""
    for name in dict.fromkeys(names):
        found = world.datasets.get(name)
        if found is None:
            continue
        if found.crop is not None:
            running = world.works.get(found.crop.work)
            if running is not None and running.is_watched:
                work.halt(running, now=now, world=world, executions=executions)
        world.files.delete_folder(found.folder)
        world.files.delete_folder(found.manifests)
        world.datasets.remove(name)
