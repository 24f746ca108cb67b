"""Checkpoints: models that artists bring along, in one file or several."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from atelier.contract import keys
from atelier.contract.api.checkpoints import CheckpointType
from atelier.contract.values import Value
from atelier.lambdas.domain.accounts import Caller
from atelier.lambdas.errors import Conflict, Invalid

Status = Literal["Initial", "Active", "Disabled", "Deleting"]

SAFE = ".safetensors"
PICKLED = (".bin", ".ckpt", ".pt", ".pth")
LONGEST_NAME = 255
LONGEST_ERROR = 1024

UPLOAD_PATIENCE = timedelta(days=1)
"""After this no link to upload a part works any more."""

DOWNLOAD_PATIENCE = timedelta(hours=1)
"""After this every attempt at a download is over: there are three, of a quarter of an hour each at most."""

EVERYBODYS = "checkpoint:all"


class File(Value):
    """A file of a checkpoint: its *key* stays when its name changes; *upload* is how it gets there."""

    name: str
    key: str
    upload: str = ""
    sha256: str = ""


class Source(Value):
    """A file to fetch; its name is empty until the other side has said it.

    The number of attempts tells an attempt whether another one has begun since.
    """

    url: str
    name: str = ""
    attempts: int = 0
    done: bool = False


class Checkpoint(Value):
    """One model of a user; it is theirs, and their roles' at the time it was made.

    While it is Initial its files are on their way, Active it can be used. It is Disabled when a file was not
    what it should be: *error* says why, and its names are free again. Deleting, it can only be deleted again.
    One that a training or a merge makes has an *origin*: JSON that says by which, and of what.
    """

    id: str
    type: CheckpointType
    creator: str
    roles: tuple[str, ...] = ()
    created: str
    status: Status = "Initial"
    files: tuple[File, ...] = ()
    sources: tuple[Source, ...] = ()
    message: str = ""
    source_path: str = ""
    target_path: str = ""
    error: str = ""
    origin: str = ""
    version: str = ""

    @property
    def folder(self) -> str:
        """Where the files lie."""
        return f"{keys.CHECKPOINTS}{self.type}/{self.id}/"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the files, those to be fetched among them as far as they are known."""
        known = [each.name for each in self.files] + [each.name for each in self.sources if each.name]
        return tuple(dict.fromkeys(known))

    @property
    def claims(self) -> frozenset[str]:
        """The names that no other checkpoint of the type can have."""
        return frozenset() if self.status == "Disabled" else frozenset(self.names)

    def is_for(self, caller: Caller) -> bool:
        """Say whether the caller may see the checkpoint and generate with it."""
        shared = not set(self.roles).isdisjoint(caller.user.roles)
        return caller.may(EVERYBODYS) or caller.name == self.creator or shared

    def is_changed_by(self, caller: Caller) -> bool:
        """Say whether the caller may change the checkpoint."""
        return caller.may(EVERYBODYS) or caller.name == self.creator

    def is_abandoned(self, now: str) -> bool:
        """Say whether its files will never come: then nothing is lost when its names go to another.

        Of one that is being made, the end of that work decides.
        """
        age = datetime.fromisoformat(now) - datetime.fromisoformat(self.created)
        patience = DOWNLOAD_PATIENCE if self.sources else UPLOAD_PATIENCE
        return self.status == "Initial" and not self.origin and age > patience

    def file(self, name: str) -> File | None:
        """Return the file of that name."""
        return next((each for each in self.files if each.name == name), None)

    def with_file(self, file: File) -> Checkpoint:
        """Return this checkpoint with *file* in the place of one of the same key, or beside the others."""
        if any(each.key == file.key for each in self.files):
            return replace(self, files=tuple(file if each.key == file.key else each for each in self.files))
        return replace(self, files=(*self.files, file))

    def with_source(self, position: int, source: Source) -> Checkpoint:
        """Return this checkpoint with another state of one of its sources."""
        before, after = self.sources[:position], self.sources[position + 1 :]
        return replace(self, sources=(*before, source, *after))

    def activated(self) -> Checkpoint:
        """Return this checkpoint with all its files in place."""
        if self.status != "Initial":
            raise Conflict(f"checkpoint {self.id} is {self.status}, cannot become Active")
        return replace(self, status="Active", sources=())

    def disabled(self, why: str) -> Checkpoint:
        """Return this checkpoint as one that cannot be used; where it came from is forgotten."""
        return replace(self, status="Disabled", error=why[:LONGEST_ERROR], sources=())

    def renamed(self, name: str) -> Checkpoint:
        """Return this checkpoint with another name; the kind of file stays."""
        if self.status != "Active":
            raise Invalid("only active can update name")
        if len(self.files) != 1:
            raise Invalid("only a checkpoint of one file can update name")
        file = self.files[0]
        suffix = file.name[file.name.rindex(".") :]
        return replace(self, files=(replace(file, name=f"{name}{suffix}"),))


def checked_name(name: str, *, pickled: bool) -> str:
    """Return a file's name; refuse what is a path, cannot be shown, or is no kind of checkpoint.

    Loading a pickled file runs what it says: such files are for deployments that allow them.
    """
    shown = name if name.isprintable() else ascii(name)[1:-1]
    is_plain = name.isprintable() and not set(name) & set('/\\:*?"<>|') and name == name.strip()
    if not is_plain or name.startswith(".") or len(name.encode()) > LONGEST_NAME:
        raise Invalid(f'filename "{shown[:100]}" is not a plain name of a file')
    if is_safe(name) or (pickled and name.lower().endswith(PICKLED)):
        return name
    if name.lower().endswith(PICKLED):
        raise Invalid(
            f'"{shown[:100]}" is a pickled file, which this deployment refuses: checkpoints are {SAFE} files'
        )
    raise Invalid(f'"{shown[:100]}" is not a {SAFE} file')


def is_safe(name: str) -> bool:
    """Say whether a name is of a file that is only read, never run."""
    return name.lower().endswith(SAFE)


def unique(names: Collection[str]) -> None:
    """Refuse names of which two are the same."""
    seen: set[str] = set()
    for each in names:
        if each in seen:
            raise Invalid(f'filename "{each[:100]}" is there twice')
        seen.add(each)
