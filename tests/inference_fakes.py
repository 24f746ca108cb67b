"""Fakes of the ports of endpoints and inferences, which can be killed, interrupted and made to fail."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from account_fakes import FakeAccounts, Killed, with_role, with_user

from atelier.contract import keys
from atelier.contract.api.endpoints import CreateEndpointRequest
from atelier.contract.api.inferences import CreateInferenceJobRequest
from atelier.lambdas.domain.accounts import Caller, User
from atelier.lambdas.domain.endpoints import IN_SERVICE, Endpoint, Sight
from atelier.lambdas.domain.inferences import Inference, Model, Result, Sent
from atelier.lambdas.domain.pages import Cursor, Page
from atelier.lambdas.errors import Busy, Conflict, TooLarge
from atelier.lambdas.services.middleware import endpoints, inferences

NOW = "2030-01-01T12:00:00.000000+00:00"
KEYS = {"region_name": "us-east-1", "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
BUCKET = "s3://bucket/"
DREAM = "dream.safetensors"
PIXEL = b"\x89PNG\r\n\x1a\n and a pixel"
JOB = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@dataclass
class Life:
    """How many steps that change something a function has left before it is killed; *before* a step, once."""

    steps: int | None = None
    before: dict[str, Callable[[], Any]] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)

    def step(self, name: str) -> None:
        if self.steps == 0:
            raise Killed
        self.steps = None if self.steps is None else self.steps - 1
        self.taken.append(name)
        if interrupt := self.before.pop(name, None):
            interrupt()


@dataclass
class FakeJobs:
    """Keeps jobs in memory, as conditionally as the table."""

    life: Life
    kept: dict[str, Inference] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)

    def get(self, id: str) -> Inference | None:
        return self.kept.get(id)

    def page(self, task: str, user: str | None, limit: int, after: Cursor | None) -> Page[Inference]:
        found = [
            each
            for each in sorted(self.kept.values(), key=lambda each: (each.created, each.id), reverse=True)
            if each.task == task
            and user in {None, each.user}
            and (after is None or (each.created, each.id) < (after.at, after.id))
        ]
        last = (
            Cursor(of=f"{task}#{user or ''}", at=found[limit - 1].created, id=found[limit - 1].id)
            if (len(found) > limit)
            else None
        )
        return Page(items=tuple(found[:limit]), last=last)

    def running(self, before: str) -> Iterator[Inference]:
        jobs = [each for each in self.kept.values() if each.status == "inprogress"]
        return iter(sorted((each for each in jobs if each.started < before), key=lambda each: each.started))

    def add(self, job: Inference) -> Inference:
        self.life.step("add")
        assert job.id not in self.kept
        return self._keep(job)

    def save(self, job: Inference, *, was: Inference) -> Inference:
        self.life.step(f"save {job.status}")
        current = self.kept.get(was.id)
        if current is None or current.version != was.version:
            raise Conflict("changed elsewhere")
        return self._keep(job)

    def remove(self, id: str) -> None:
        self.life.step("remove")
        self.kept.pop(id, None)

    def _keep(self, job: Inference) -> Inference:
        self.kept[job.id] = replace(job, version=str(next(self.numbers)))
        return self.kept[job.id]


@dataclass
class FakeObjects:
    """Keeps objects in memory."""

    life: Life
    kept: dict[str, bytes] = field(default_factory=dict)

    def read(self, key: str, most: int) -> bytes | None:
        body = self.kept.get(key)
        if body is not None and len(body) > most:
            raise TooLarge(key)
        return body

    def exists(self, key: str) -> bool:
        return key in self.kept

    def write(self, key: str, body: bytes, content_type: str) -> None:
        self.life.step(f"write {key.rpartition('/')[2]}")
        self.kept[key] = body

    def delete(self, *keys: str) -> None:
        self.life.step("delete")
        for each in keys:
            self.kept.pop(each, None)

    def delete_folder(self, prefix: str) -> None:
        self.life.step("delete folder")
        self.kept = {key: body for key, body in self.kept.items() if not key.startswith(prefix)}

    def uri(self, key: str) -> str:
        return BUCKET + key

    def key(self, uri: str) -> str | None:
        return uri.removeprefix(BUCKET) if uri.startswith(BUCKET) else None

    def upload_url(self, key: str) -> str:
        return f"https://bucket/{key}?put"

    def download_url(self, key: str) -> str:
        return f"https://bucket/{key}?get"


@dataclass
class FakeInvocations:
    """Takes requests; *error* is raised instead, *is_silent* loses what becomes of them."""

    life: Life
    objects: FakeObjects
    error: Exception | None = None
    is_silent: bool = False
    taken: list[str] = field(default_factory=list)
    reply: bytes = b""

    def submit(self, endpoint: str, *, id: str, input: str) -> Sent | None:
        if self.error:
            raise self.error
        self.life.step("submit")
        self.taken.append(id)
        number = len(self.taken)
        sent = Sent(
            output=f"{BUCKET}{keys.ASYNC_OUTPUT}{number}.out",
            failure=f"{BUCKET}{keys.ASYNC_FAILURES}{number}.err",
        )
        return None if self.is_silent else sent

    def answer(self, endpoint: str, body: bytes) -> bytes:
        if self.error:
            raise self.error
        self.life.step("answer")
        self.taken.append(json.loads(body)["id"])
        return self.reply


@dataclass
class FakeCheckpoints:
    """Knows one checkpoint."""

    def find(self, type: str, name: str, caller: Caller) -> Model | None:
        s3 = f"{BUCKET}checkpoints/{name}"
        return Model(id=OTHER, type=type, name=name, s3=s3, sha256="ab" * 32) if name == DREAM else None


@dataclass
class FakeEndpoints:
    """Keeps endpoints in memory, and the claims of their roles."""

    life: Life
    kept: dict[str, Endpoint] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)

    def get(self, name: str) -> Endpoint | None:
        return self.kept.get(name)

    def all(self) -> list[Endpoint]:
        return sorted(self.kept.values(), key=lambda each: (each.created, each.name), reverse=True)

    def add(self, endpoint: Endpoint) -> Endpoint:
        self.life.step("add")
        if endpoint.name in self.kept:
            raise Conflict(f'Cannot create already existing model "{endpoint.name}"')
        claimed = {claim for each in self.kept.values() for claim in each.claims}
        for role, claim in zip(endpoint.roles, endpoint.claims, strict=True):
            if claim in claimed:
                raise Conflict(f"role [{role}] has a valid endpoint already")
        return self._keep(endpoint)

    def save(self, endpoint: Endpoint, *, was: Endpoint) -> Endpoint:
        self.life.step(f"save {endpoint.status}")
        self._check(was)
        return self._keep(endpoint)

    def remove(self, endpoint: Endpoint) -> None:
        self.life.step("remove")
        self._check(endpoint)
        del self.kept[endpoint.name]

    def _check(self, was: Endpoint) -> None:
        current = self.kept.get(was.name)
        if current is None or current.version != was.version:
            raise Conflict("changed elsewhere")

    def _keep(self, endpoint: Endpoint) -> Endpoint:
        self.kept[endpoint.name] = replace(endpoint, version=str(next(self.numbers)))
        return self.kept[endpoint.name]


@dataclass
class FakeFleet:
    """SageMaker: what is *seen* there, and what goes wrong."""

    life: Life
    seen: dict[str, Sight] = field(default_factory=dict)
    error: Exception | None = None
    is_changing: bool = False
    looked: int = 0

    def launch(self, endpoint: Endpoint) -> None:
        self.life.step("launch")
        if self.error:
            raise self.error
        self.seen[endpoint.name] = Sight(status="Creating", instances=0)

    def look(self, name: str) -> Sight | None:
        self.looked += 1
        if self.error:
            raise self.error
        return self.seen.get(name)

    def dismantle(self, name: str) -> None:
        self.life.step("dismantle")
        if self.is_changing:
            raise Busy("changing")
        self.seen.pop(name, None)

    def serves(self, name: str, instances: int = 1) -> None:
        self.seen[name] = Sight(status=IN_SERVICE, instances=instances)


@dataclass
class FakeScaling:
    """Knows which endpoints scale."""

    life: Life
    enabled: dict[str, tuple[int, int]] = field(default_factory=dict)
    error: Exception | None = None

    def enable(self, endpoint: Endpoint) -> None:
        self.life.step("enable")
        if self.error:
            raise self.error
        self.enabled[endpoint.name] = (endpoint.least, endpoint.most)

    def disable(self, name: str) -> None:
        self.life.step("disable")
        self.enabled.pop(name, None)


@dataclass
class Studio:
    """A deployment in memory: its services, and short ways to call them."""

    life: Life = field(default_factory=Life)
    now: str = NOW

    def __post_init__(self) -> None:
        self.accounts = FakeAccounts()
        self.endpoints = FakeEndpoints(self.life)
        self.fleet, self.scaling = FakeFleet(self.life), FakeScaling(self.life)
        self.jobs, self.objects = FakeJobs(self.life), FakeObjects(self.life)
        self.invocations = FakeInvocations(self.life, self.objects)
        self.checkpoints = FakeCheckpoints()
        with_role(self.accounts, "painter", "inference:create")
        with_user(self.accounts, "ann", "painter")
        self.ann = Caller(user=User(name="ann", roles=("painter",), creator="api"))
        self.bob = Caller(user=User(name="bob", roles=("painter",), creator="api"))
        self.chief = Caller(
            user=User(name="api", roles=("painter",), creator="api"),
            permissions=frozenset({"inference:all"}),
        )

    @property
    def watched(self) -> endpoints.World:
        return endpoints.World(endpoints=self.endpoints, fleet=self.fleet, scaling=self.scaling)

    @property
    def world(self) -> inferences.World:
        return inferences.World(
            jobs=self.jobs,
            objects=self.objects,
            invocations=self.invocations,
            endpoints=self.endpoints,
        )

    def make(self, id: str = JOB, **changes: Any) -> Endpoint:
        """Ask for an endpoint."""
        return endpoints.create(
            an_endpoint(**changes),
            id=id,
            now=self.now,
            registry=REGISTRY,
            caller=self.chief,
            world=self.watched,
            launcher=self.fleet,
            accounts=self.accounts,
        )

    def serving(self, id: str = JOB, **changes: Any) -> Endpoint:
        """Have an endpoint in service."""
        name = self.make(id, **changes).name
        self.fleet.serves(name)
        seen = endpoints.refresh(name, now=self.now, world=self.watched)
        assert seen is not None
        return seen

    def ask(self, id: str = JOB, caller: Caller | None = None, **changes: Any) -> Inference:
        """Make a job."""
        return inferences.create(
            a_job(**changes),
            id=id,
            now=self.now,
            caller=caller or self.ann,
            world=self.world,
            checkpoints=self.checkpoints,
        )

    def start(self, id: str = JOB, caller: Caller | None = None) -> Inference:
        """Start a job."""
        return inferences.start(id, now=self.now, caller=caller or self.ann, world=self.world)

    def running(self) -> Inference:
        """Have a job in progress at an asynchronous endpoint."""
        if not self.endpoints.kept:
            self.serving()
        return self.ask(payload_string='{"prompt": "a cat"}')


def an_endpoint(**changes: Any) -> CreateEndpointRequest:
    asked: dict[str, Any] = {
        "endpoint_type": "Async",
        "instance_type": "ml.g4dn.xlarge",
        "initial_instance_count": 1.0,
        "autoscaling_enabled": True,
        "assign_to_roles": ("painter",),
    }
    return CreateEndpointRequest(**{**asked, **changes})


def an_endpoint_of(name: str = "x", **changes: Any) -> Endpoint:
    """Return an endpoint as it is kept."""
    values: dict[str, Any] = {
        "id": JOB,
        "name": f"sd-async-{name}",
        "kind": "Async",
        "roles": ("painter",),
        "creator": "api",
        "created": NOW,
        "instance_type": "ml.g4dn.xlarge",
        "initial": 1,
        "least": 0,
        "most": 3,
    }
    return Endpoint(**{**values, **changes})


def a_job(**changes: Any) -> CreateInferenceJobRequest:
    asked: dict[str, Any] = {
        "task_type": "txt2img",
        "inference_type": "Async",
        "models": {"Stable-diffusion": ("dream.safetensors",)},
    }
    return CreateInferenceJobRequest(**{**asked, **changes})


def an_answer(*pictures: bytes) -> bytes:
    """What a container answers."""
    images = [base64.b64encode(each).decode() for each in pictures or (PIXEL,)]
    info = json.dumps({"infotexts": ["a cat"]})
    return json.dumps({"id": JOB, "images": images, "parameters": {"seed": 7}, "info": info}).encode()


def answered(studio: Studio, job: Inference, body: bytes | None = None) -> Result:
    """Have SageMaker put an answer in place; return its notice."""
    assert job.sent is not None
    studio.objects.kept[job.sent.output.removeprefix(BUCKET)] = an_answer() if body is None else body
    return Result(id=job.id, output=job.sent.output)


def refused(studio: Studio, job: Inference, words: bytes = b'{"message": "no such sampler"}') -> Result:
    """Have SageMaker put a failure in place; return its notice."""
    assert job.sent is not None
    studio.objects.kept[job.sent.failure.removeprefix(BUCKET)] = words
    return Result(id=job.id, reason="ClientError: Received client error (400) from model.")
