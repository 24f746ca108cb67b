"""Fakes of the checkpoints' ports, and short ways to make files, callers and checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from atelier.contract.tables import Table
from atelier.lambdas.domain.accounts import Caller, User
from atelier.lambdas.domain.checkpoints import Checkpoint, File
from atelier.lambdas.errors import Busy, Conflict, Invalid
from atelier.lambdas.ports.checkpoints import Download
from atelier.lambdas.services.middleware.checkpoints import World

NOW = "2030-01-01T00:00:00.000000+00:00"
SOON = "2030-01-01T00:30:00.000000+00:00"
LATER = "2030-01-03T00:00:00.000000+00:00"


class Killed(BaseException):
    """The function was killed: nothing in it runs any more."""


def safetensors(data: bytes = b"\0" * 8) -> bytes:
    """A small file as the format says."""
    tensor = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "w": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + data


def create_table(dynamodb: Any, name: str, declared: Table) -> None:
    """Make a table as the contract declares it."""
    names = {declared.hash, *(each for index in declared.indexes for each in (index.hash, index.range))}
    indexes = [
        {
            "IndexName": each.name,
            "KeySchema": [
                {"AttributeName": each.hash, "KeyType": "HASH"},
                {"AttributeName": each.range, "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
        for each in declared.indexes
    ]
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": declared.hash, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in sorted(names)],
        BillingMode="PAY_PER_REQUEST",
        **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
    )


def caller(name: str = "ann", *permissions: str, roles: tuple[str, ...] = ("painter",)) -> Caller:
    return Caller(
        user=User(name=name, roles=roles, creator="root"),
        permissions=frozenset(permissions or ("checkpoint:create", "checkpoint:list")),
    )


@dataclass
class Life:
    """Counts writes; kills the function when *left* are done, lets somebody in before the next one."""

    left: int | None = None
    interrupt: Callable[[], None] | None = None

    def write(self) -> None:
        interrupt, self.interrupt = self.interrupt, None
        if interrupt is not None:
            interrupt()
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1


@dataclass
class FakeCheckpoints:
    """Keeps checkpoints in memory, as conditionally as the table."""

    life: Life = field(default_factory=Life)
    kept: dict[str, Checkpoint] = field(default_factory=dict)
    claims: dict[tuple[str, str], str] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)

    def get(self, id: str) -> Checkpoint | None:
        return self.kept.get(id)

    def all(self, types: Collection[str]) -> list[Checkpoint]:
        found = [each for each in self.kept.values() if not types or each.type in types]
        return sorted(found, key=lambda each: each.created, reverse=True)

    def holders(self, type: str, names: Collection[str]) -> Mapping[str, str]:
        return {each: self.claims[type, each] for each in names if (type, each) in self.claims}

    def add(self, checkpoint: Checkpoint) -> Checkpoint:
        return self._put(checkpoint, None)

    def save(self, checkpoint: Checkpoint, *, was: Checkpoint) -> Checkpoint:
        return self._put(checkpoint, was)

    def remove(self, checkpoint: Checkpoint) -> None:
        self._check(checkpoint.id, checkpoint)
        del self.kept[checkpoint.id]
        for each in checkpoint.claims:
            del self.claims[checkpoint.type, each]

    def _put(self, checkpoint: Checkpoint, was: Checkpoint | None) -> Checkpoint:
        self._check(checkpoint.id, was)
        had = was.claims if was else frozenset()
        if any((checkpoint.type, each) in self.claims for each in checkpoint.claims - had):
            raise Conflict("a name is taken")
        for each in had - checkpoint.claims:
            del self.claims[checkpoint.type, each]
        for each in checkpoint.claims:
            self.claims[checkpoint.type, each] = checkpoint.id
        self.kept[checkpoint.id] = replace(checkpoint, version=f"v{next(self.numbers)}")
        return self.kept[checkpoint.id]

    def _check(self, id: str, was: Checkpoint | None) -> None:
        self.life.write()
        found = self.kept.get(id)
        if (found and found.version) != (was and was.version):
            raise Conflict(f"{id} was changed elsewhere")


@dataclass
class FakeStore:
    """Uploads and the objects that come of them."""

    life: Life = field(default_factory=Life)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)

    def begin(self, key: str) -> str:
        self.life.write()
        upload = f"u{next(self.numbers)}"
        self.uploads[upload] = {}
        return upload

    def urls(self, file: File, parts: int) -> tuple[str, ...]:
        return tuple(f"https://s3/{file.key}?{file.upload}.{each}" for each in range(1, parts + 1))

    def put(self, file: File, number: int, body: bytes) -> str:
        self.life.write()
        if file.upload not in self.uploads:
            raise Conflict("no such upload")
        self.uploads[file.upload][number] = body
        return f"e{number}"

    def complete(self, file: File, tags: Mapping[int, str]) -> None:
        self.life.write()
        if file.upload not in self.uploads:
            if file.key in self.objects:
                return
            raise Invalid(f"the upload of {file.name} is no more")
        parts = self.uploads[file.upload]
        if not set(tags) <= set(parts):
            raise Invalid("One or more of the specified parts could not be found.")
        del self.uploads[file.upload]
        self.objects[file.key] = b"".join(parts[each] for each in sorted(tags))

    def abort(self, file: File) -> None:
        self.life.write()
        self.uploads.pop(file.upload, None)

    def begins(self, key: str, count: int) -> tuple[int, bytes]:
        return len(self.objects[key]), self.objects[key][:count]

    def delete_folder(self, prefix: str) -> None:
        self.life.write()
        for each in [key for key in self.objects if key.startswith(prefix)]:
            del self.objects[each]

    def sha256(self, key: str) -> str | None:
        return f"digest of {len(self.objects[key])}" if key in self.objects else None


@dataclass
class FakeJobs:
    """Remembers what was asked for; does not take more than *most*."""

    asked: list[tuple[str, int]] = field(default_factory=list)
    most: int = 100

    def download(self, id: str, position: int) -> None:
        if len(self.asked) == self.most:
            raise Busy("not now")
        self.asked.append((id, position))


@dataclass
class FakeWeb:
    """Files by URL; an error in the place of a file is raised, in the place of a chunk too."""

    files: dict[str, list[bytes] | Exception] = field(default_factory=dict)
    name: str = ""
    size: int | None = None

    @contextmanager
    def open(self, url: str) -> Iterator[Download]:
        found = self.files[url]
        if isinstance(found, Exception):
            raise found
        yield Download(name=self.name, size=self.size, chunks=self._chunks(found))

    def _chunks(self, found: list[bytes]) -> Iterator[bytes]:
        for each in found:
            if isinstance(each, Exception):
                raise each
            yield each


@dataclass
class Studio:
    """A world of fakes that are killed together."""

    life: Life = field(default_factory=Life)
    checkpoints: FakeCheckpoints = field(init=False)
    store: FakeStore = field(init=False)
    jobs: FakeJobs = field(default_factory=FakeJobs)
    web: FakeWeb = field(default_factory=FakeWeb)

    def __post_init__(self) -> None:
        self.checkpoints, self.store = FakeCheckpoints(self.life), FakeStore(self.life)

    @property
    def world(self) -> World:
        return World(checkpoints=self.checkpoints, uploads=self.store, folders=self.store)
