"""Fakes of what trainings, merges and datasets need; they are killed and interrupted together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Generic

from checkpoint_fakes import NOW, FakeCheckpoints, FakeStore, Life, caller, safetensors

from atelier.contract.api.datasets import CreateDatasetRequest
from atelier.contract.api.merges import MergeCheckpointsRequest
from atelier.contract.api.trainings import CreateTrainingJobRequest
from atelier.contract.schema import build
from atelier.lambdas.adapters.rows import Row
from atelier.lambdas.domain.accounts import Caller
from atelier.lambdas.domain.checkpoints import Checkpoint, File
from atelier.lambdas.domain.datasets import Dataset
from atelier.lambdas.domain.inferences import Model
from atelier.lambdas.domain.pages import Cursor
from atelier.lambdas.domain.work import Work
from atelier.lambdas.errors import Conflict, TooLarge
from atelier.lambdas.ports.work import Course
from atelier.lambdas.services.middleware import checkpoints, datasets, merges, trainings, work

ID, RESULT = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
OTHER = "33333333-3333-4333-8333-333333333333"
MODELS = ("one", "two", "three")
PICTURE = b"a picture"
MAY = ("train:all", "checkpoint:create", "checkpoint:list")


@dataclass
class FakeRows(Generic[Row]):
    """Keeps rows in memory, as conditionally as the table."""

    life: Life
    kept: dict[str, Any] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)

    def get(self, id: str) -> Any:
        return self.kept.get(id)

    def newest(self, kind: str, after: Cursor | None) -> Iterator[Any]:
        found = [each for each in self.kept.values() if getattr(each, "kind", "dataset") == kind]
        rows = sorted(found, key=lambda each: (each.created, each.id), reverse=True)
        return iter([each for each in rows if not after or (each.created, each.id) < (after.at, after.id)])

    def running(self) -> Iterator[Work]:
        found = [each for each in self.kept.values() if each.is_watched]
        return iter(sorted(found, key=lambda each: str(each.created)))

    def add(self, row: Any) -> Any:
        self.life.write()
        if row.id in self.kept:
            raise Conflict(f"{row.id} is there")
        return self._put(row)

    def save(self, row: Any, *, was: Any) -> Any:
        self.life.write()
        if row.id not in self.kept or self.kept[row.id].version != was.version:
            raise Conflict(f"{row.id} was changed elsewhere")
        return self._put(row)

    def remove(self, id: str) -> None:
        self.life.write()
        self.kept.pop(id, None)

    def _put(self, row: Any) -> Any:
        self.kept[row.id] = replace(row, version=f"v{next(self.numbers)}")
        return self.kept[row.id]


@dataclass
class FakeFiles:
    """The bucket, in memory; it has the objects of *store* too."""

    life: Life
    objects: dict[str, bytes]

    def read(self, key: str, most: int) -> bytes | None:
        if len(self.objects.get(key, b"")) > most:
            raise TooLarge(key)
        return self.objects.get(key)

    def write(self, key: str, body: bytes, content_type: str) -> None:
        self.life.write()
        self.objects[key] = body

    def sizes(self, prefix: str, *, after: str = "", until: str = "") -> Iterator[tuple[str, int]]:
        found = [each for each in sorted(self.objects) if each.startswith(prefix) and each > after]
        return iter([(each, len(self.objects[each])) for each in found if not until or each <= until])

    def delete_folder(self, prefix: str) -> None:
        self.life.write()
        for each in [key for key in self.objects if key.startswith(prefix)]:
            del self.objects[each]

    def uri(self, key: str) -> str:
        return f"s3://bucket/{key}"

    def upload_url(self, key: str, seconds: int) -> str:
        return f"https://s3/{key}?put"

    def download_url(self, key: str) -> str:
        return f"https://s3/{key}?get"


@dataclass
class FakeExecutions:
    """Remembers what was begun and stopped; *trouble* keeps it from beginning anything."""

    life: Life
    begun: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    courses: dict[str, Course] = field(default_factory=dict)
    trouble: Exception | None = None

    def start(self, id: str, given: Mapping[str, Any]) -> None:
        self.life.write()
        if self.trouble:
            raise self.trouble
        self.begun[id] = given

    def look(self, id: str) -> Course | None:
        return self.courses.get(id, Course(is_running=True) if id in self.begun else None)

    def stop(self, id: str, job: str) -> None:
        self.life.write()
        self.stopped.append(job)


@dataclass
class FakeModels:
    """Checkpoints as inferences find them."""

    checkpoints: FakeCheckpoints

    def get(self, id: str) -> Checkpoint | None:
        return self.checkpoints.get(id)

    def find(self, type: str, name: str, caller: Caller) -> Model | None:
        found = next(
            (each for each in self.checkpoints.kept.values() if each.type == type and name in each.names),
            None,
        )
        if found is None or found.status != "Active" or not found.is_for(caller):
            return None
        return Model(id=found.id, type=type, name=name, s3=f"s3://bucket/{found.folder}{name}", sha256="ab")


@dataclass
class Studio:
    """A world with three checkpoints of Ann's and an enabled dataset of two pictures."""

    life: Life = field(default_factory=Life)
    store: FakeStore = field(init=False)
    checkpoints: FakeCheckpoints = field(init=False)
    works: FakeRows[Work] = field(init=False)
    datasets: FakeRows[Dataset] = field(init=False)
    files: FakeFiles = field(init=False)
    executions: FakeExecutions = field(init=False)

    def __post_init__(self) -> None:
        self.store, self.checkpoints = FakeStore(self.life), FakeCheckpoints(self.life)
        self.works, self.datasets = FakeRows(self.life), FakeRows(self.life)
        self.files = FakeFiles(self.life, self.store.objects)
        self.executions = FakeExecutions(self.life)
        self.ann, self.bob = caller("ann", *MAY), caller("bob", *MAY, roles=("guest",))
        for letter, each in zip("abc", MODELS, strict=True):
            id = letter * 8 + RESULT[8:]
            made = Checkpoint(
                id=id,
                type="Stable-diffusion",
                creator="ann",
                roles=("painter",),
                created=NOW,
                status="Active",
            )
            name = f"{each}.safetensors"
            self.checkpoints.add(replace(made, files=(File(name=name, key=made.folder + name),)))
        self.fill("cats", {"a.png": PICTURE, "b.png": PICTURE, "a.txt": b"a cat"})
        self.update("cats", "Enabled")

    @property
    def world(self) -> work.World:
        made = checkpoints.World(checkpoints=self.checkpoints, uploads=self.store, folders=self.files)
        return work.World(works=self.works, datasets=self.datasets, files=self.files, checkpoints=made)

    def dataset(self, name: str, *filenames: str, prefix: str = "") -> tuple[Dataset, Mapping[str, str]]:
        """Make a dataset, or add to one."""
        content = [{"filename": each} for each in filenames]
        asked = {"dataset_name": name, "content": content, "creator": "ann", "prefix": prefix}
        request = build(CreateDatasetRequest, asked)
        return datasets.create(request, caller=self.ann, now=NOW, datasets=self.datasets, files=self.files)

    def fill(self, name: str, files: Mapping[str, bytes]) -> None:
        _, places = self.dataset(name, *files)
        for each, body in files.items():
            self.files.objects[places[each]] = body

    def update(self, name: str, status: Any) -> Dataset:
        return datasets.update(name, status, datasets=self.datasets, files=self.files)

    def opened(self, name: str, start: str | None = None) -> datasets.Opened:
        return datasets.opened(name, start=start, datasets=self.datasets, files=self.files)

    def train(self, id: str = ID, result: str = RESULT, caller: Caller | None = None, **changes: Any) -> Work:
        """Begin a training."""
        return trainings.create(
            a_training(**changes),
            id=id,
            result=result,
            now=NOW,
            caller=caller or self.ann,
            world=self.world,
            models=FakeModels(self.checkpoints),
            executions=self.executions,
        )

    def merge(self, method: str, *names: str, caller: Caller | None = None, **changes: Any) -> Work:
        """Begin a merge."""
        asked = {"method": method, "checkpoints": list(names), "output_name": "mixed", **changes}
        return merges.create(
            build(MergeCheckpointsRequest, asked),
            id=ID,
            result=RESULT,
            now=NOW,
            caller=caller or self.ann,
            instance_type="ml.m5.xlarge",
            world=self.world,
            models=FakeModels(self.checkpoints),
            executions=self.executions,
        )

    def crop(self, name: str = "cats", size: str = "64x64") -> Dataset:
        """Begin a crop."""
        return datasets.crop(
            name,
            size,
            id=ID,
            now=NOW,
            caller=self.ann,
            instance_type="ml.m5.xlarge",
            world=self.world,
            executions=self.executions,
        )

    def tell(self, found: Work, **result: Any) -> None:
        """Do what a container does at its end: the file, and the result."""
        if found.kind != "crop":
            self.files.objects[found.output] = safetensors()
        self.files.objects[f"{found.report}result.json"] = json.dumps({"sha256": "cd", **result}).encode()

    def finish(self, id: str = ID) -> Work:
        return work.finish(id, now=NOW, world=self.world)

    def fail(self, cause: str = "no memory", id: str = ID) -> Work | None:
        return work.fail(id, {"Error": "Failed", "Cause": cause}, now=NOW, world=self.world)

    def stop(self, id: str = ID, kind: Any = "lora", caller: Caller | None = None) -> Work:
        return work.stop(
            id,
            kind,
            caller=caller or self.ann,
            everybodys="checkpoint:all",
            now=NOW,
            world=self.world,
            executions=self.executions,
        )

    def settle(self, now: str) -> None:
        """Do what the reconciler does."""
        for each in list(self.works.running()):
            work.settle(each, now=now, world=self.world, executions=self.executions)

    def claims(self) -> set[str]:
        """The names that are taken."""
        return {name for _, name in self.checkpoints.claims}


def a_training(**changes: Any) -> CreateTrainingJobRequest:
    """Ask for a training; a change belongs to what is trained, or to how."""
    trained = {
        "training_instance_type": "ml.g4dn.xlarge",
        "model": "one.safetensors",
        "dataset": "cats",
        "fm_type": "sd_1_5",
    }
    own = {name: changes.pop(name) for name in list(changes) if name in trained}
    lifted = {name: changes.pop(name) for name in list(changes) if name == "enable_wd14_tagger"}
    config = {"output_name": "cat", "max_train_epochs": 2, **changes}
    params = {"training_params": {**trained, **own}, "config_params": config, **lifted}
    return build(CreateTrainingJobRequest, {"lora_train_type": "kohya", "params": params})
