"""Fakes of what the fleet's functions work with, and archives of models that no container loads."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from atelier.contract import fleet
from atelier.contract.fleet import Model
from atelier.lambdas.domain.fleet import Landed, Record, Sight, State, digest
from atelier.lambdas.errors import Busy, Conflict
from atelier.lambdas.services.fleet import World

CONFIG = {"model_type": "gpt_neo", "activation_function": "gelu_new"}
NOW = "2001-01-01T12:00:30.000000+00:00"
SOON = "2001-01-01T12:01:30.000000+00:00"
LATER = "2001-01-01T12:05:00.000000+00:00"


def moment(second: int) -> str:
    return f"2001-01-01T12:{second // 60:02}:{second % 60:02}.000000+00:00"


def archive(word: str = "good", **changes: bytes | None) -> bytes:
    """Return a .tar.gz as training leaves it; *changes* replace files, and leave those out that are None."""
    files: dict[str, bytes | None] = {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": word.encode() * 100,
        "tokenizer.json": b"{}",
        **{name.replace("__", "."): body for name, body in changes.items()},
    }
    return packed([(tarfile.TarInfo(name), body) for name, body in files.items() if body is not None])


def packed(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return the same bytes for the same members, whenever it is."""
    made = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=made, mode="wb", mtime=0) as whole,
        tarfile.open(fileobj=whole, mode="w") as file,
    ):
        for member, body in members:
            member.size = len(body)
            file.addfile(member, io.BytesIO(body))
    return made.getvalue()


@dataclass
class FakeBucket:
    """Objects with their versions; the last of a key is the current one."""

    objects: dict[str, list[tuple[str, bytes, str]]] = field(default_factory=dict)
    fault: Exception | None = None
    opened_times: int = 0

    def put(self, key: str, body: bytes, second: int) -> str:
        version = f"v{sum(map(len, self.objects.values())) + 1}"
        self.objects.setdefault(key, []).append((version, body, moment(second)))
        return version

    def land(self, name: str, body: bytes, second: int, *, beside: str | None = None) -> str:
        """Put a model in place, and then its SHA-256."""
        version = self.put(fleet.key(name), body, second)
        said = hashlib.sha256(body).hexdigest() if beside is None else beside
        if said:
            self.put(fleet.beside(fleet.key(name)), said.encode(), second + 1)
        return version

    def landed(self) -> Iterator[Landed]:
        for key, versions in self.objects.items():
            found = fleet.KEY.fullmatch(key)
            if found:
                version, body, when = versions[-1]
                beside = self.objects.get(fleet.beside(key), [("", b"", "")])[-1]
                yield Landed(
                    name=found["name"],
                    bucket="models",
                    key=key,
                    version_id=version,
                    size=len(body),
                    landed=when,
                    beside=beside[0],
                    beside_landed=beside[2],
                )

    def sha256(self, landed: Landed) -> str | None:
        if not landed.beside:
            return None
        return digest(self._body(fleet.beside(landed.key), landed.beside).decode())

    @contextmanager
    def opened(self, landed: Landed) -> Iterator[io.BytesIO]:
        self.opened_times += 1
        if self.fault:
            raise self.fault
        yield io.BytesIO(self._body(landed.key, landed.version_id))

    def _body(self, key: str, version: str) -> bytes:
        return next(body for each, body, _ in self.objects[key] if each == version)


@dataclass
class FakeParameter:
    """A parameter with all its versions."""

    versions: list[Model] = field(default_factory=list)
    gone: bool = False
    fault: Exception | None = None

    def get(self, version: int | None = None) -> Model | None:
        if version is not None:
            return self.versions[version - 1] if version <= len(self.versions) else None
        return None if self.gone or not self.versions else self.versions[-1]

    def put(self, model: Model) -> int:
        self.versions.append(model)
        self.gone = False
        return len(self.versions)

    def clear(self) -> None:
        if self.fault:
            raise self.fault
        self.gone = True


@dataclass
class FakeService:
    """A service that deploys nothing: a test says how a deployment ends."""

    version: int | None = None
    rollout: str = "COMPLETED"
    desired: int = 0
    said: str = ""
    reason: str = ""
    deployed: list[int] = field(default_factory=list)
    fault: Exception | None = None
    good: int | None = None
    stack: str = "stack:1"

    def look(self) -> Sight:
        return Sight(
            definition=self.stack if self.version is None else f"task:{self.version}",
            version=self.version,
            rollout=self.rollout,
            desired=self.desired,
            reason=self.reason,
        )

    def deploy(self, version: int) -> str:
        if self.fault:
            raise self.fault
        self.deployed.append(version)
        self.version, self.rollout, self.desired = version, "IN_PROGRESS", max(1, self.desired)
        return f"task:{version}"

    def complete(self) -> None:
        self.rollout, self.good = "COMPLETED", self.version

    def roll_back(self, reason: str = "tasks failed to start") -> None:
        """Go back as ECS does: to what last completed, and nowhere where nothing did."""
        self.reason = reason
        if self.good is None:
            self.rollout = "FAILED"
        else:
            self.version, self.rollout = self.good, "IN_PROGRESS"

    def back(self, definition: str) -> None:
        _, _, number = definition.partition("task:")
        self.version, self.rollout = int(number) if number else None, "IN_PROGRESS"

    def rest(self) -> None:
        self.desired = 0

    def last_words(self, since: str) -> str:
        return self.said


@dataclass
class FakeMemory:
    """The state with its revision, and the landings."""

    kept: State = field(default_factory=State)
    records: dict[str, Record] = field(default_factory=dict)
    overtaken: bool = False

    def state(self) -> State:
        return self.kept

    def save(self, state: State) -> State:
        if self.overtaken or state.revision != self.kept.revision:
            raise Conflict("changed meanwhile")
        self.kept = replace(state, revision=state.revision + 1)
        return self.kept

    def record(self, id: str) -> Record | None:
        return self.records.get(id)

    def write(self, record: Record) -> None:
        self.records[record.id] = record

    def became(self) -> dict[str, str]:
        """What became of each landing, by the name of its model."""
        return {each.name: each.status for each in self.records.values()}


@dataclass
class FakePeople:
    told: list[tuple[str, str]] = field(default_factory=list)
    fault: Exception | None = None

    def tell(self, subject: str, text: str) -> None:
        if self.fault:
            raise self.fault
        self.told.append((subject, text))

    @property
    def subjects(self) -> list[str]:
        return [each for each, _ in self.told]


def world(**changes: Any) -> Any:
    """A fleet in which no model has landed."""
    made = {
        "bucket": FakeBucket(),
        "parameter": FakeParameter(),
        "service": FakeService(),
        "memory": FakeMemory(),
        "people": FakePeople(),
        "patience": 200.0,
    }
    return World(**{**made, **changes})


BUSY = Busy("ECS is too busy, try again")
