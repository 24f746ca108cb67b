"""The serving fleet: what it serves, what lands in its bucket, and what it answers."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError

from atelier.client.completions import TIMEOUT, message, opener
from atelier.client.errors import NotDeployed, NotFound, Problem, Refusal
from atelier.client.outputs import PREFIX, outputs
from atelier.contract import fleet, tables

if TYPE_CHECKING:
    from atelier.client.session import Clients

FLEET, MODELS = "serving-fleet", "shared-models"
PIECE = 1024 * 1024
NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
ENDED = frozenset({fleet.SERVING, fleet.REFUSED, fleet.RETIRED})


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a fleet is."""

    url: str
    bucket: str
    table: str
    cluster: str
    service: str


@dataclass(frozen=True, kw_only=True)
class Landing:
    """A model that has landed, and what became of it."""

    id: str
    name: str
    key: str
    version_id: str
    landed: str
    status: str
    at: str
    sha256: str = ""
    size: int = 0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Status:
    """The fleet now; *serving* and *trying* are models by their members."""

    url: str
    serving: Mapping[str, Any] | None
    trying: Mapping[str, Any] | None
    desired: int
    running: int
    pending: int
    rollout: str
    reason: str


def place(clients: Clients, prefix: str = PREFIX) -> Place:
    """Find the fleet; raise NotDeployed before it is there."""
    try:
        found = {**outputs(clients, f"{prefix}-{MODELS}"), **outputs(clients, f"{prefix}-{FLEET}")}
        return Place(
            url=found["FleetUrl"],
            bucket=found["ModelsBucketName"],
            table=found["FleetTableName"],
            cluster=found["FleetClusterName"],
            service=found["FleetServiceName"],
        )
    except (KeyError, NotDeployed) as error:
        raise NotDeployed(
            f"there is no fleet {prefix} in {clients.where}: run `atelier deploy fleet`"
        ) from error


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """One installation's fleet."""

    clients: Clients
    place: Place
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def status(self) -> Status:
        """Return what serves, what is tried, and how the tasks are."""
        state = self._item(fleet.STATE)
        document = json.loads(state["document"]) if state else {}
        service = self.clients.ecs.describe_services(
            cluster=self.place.cluster, services=[self.place.service]
        )["services"][0]
        primary = next(each for each in service["deployments"] if each["status"] == "PRIMARY")
        trial = document.get("trial")
        return Status(
            url=self.place.url,
            serving=document.get("serving"),
            trying=trial["model"] if trial else None,
            desired=service["desiredCount"],
            running=service["runningCount"],
            pending=service["pendingCount"],
            rollout=primary.get("rolloutState", ""),
            reason=primary.get("rolloutStateReason", ""),
        )

    def image(self) -> str:
        """Return the image that the tasks run."""
        service = self.clients.ecs.describe_services(
            cluster=self.place.cluster, services=[self.place.service]
        )["services"][0]
        found = self.clients.ecs.describe_task_definition(taskDefinition=service["taskDefinition"])
        return found["taskDefinition"]["containerDefinitions"][0]["image"]

    def put(self, path: Path, name: str) -> str:
        """Let a model land: its archive, then its SHA-256; return the object's version."""
        if not re.fullmatch(fleet.NAMES, name):
            raise Problem(f"{name!r} is no name of a model: use lower-case letters, digits and hyphens")
        digest, key = _checked(path), fleet.key(name)
        with path.open("rb") as body:
            self.clients.s3.upload_fileobj(body, self.place.bucket, key)
        version = self.clients.s3.head_object(Bucket=self.place.bucket, Key=key)["VersionId"]
        self._say(key, digest)
        return version

    def rollback(self) -> Landing:
        """Let the model land again that served before; it is the newest then, as any other."""
        before = next((each for each in self.history() if each.status == fleet.RETIRED), None)
        if before is None:
            raise NotFound("no other model has served: there is nothing to go back to")
        source: Any = {"Bucket": self.place.bucket, "Key": before.key, "VersionId": before.version_id}
        try:
            self.clients.s3.copy(source, self.place.bucket, before.key, {"MetadataDirective": "REPLACE"})
        except ClientError as error:
            raise Refusal(f"{before.name} cannot be read any more: {error}") from error
        self._say(before.key, before.sha256)
        return before

    def _say(self, key: str, digest: str) -> None:
        self.clients.s3.put_object(
            Bucket=self.place.bucket,
            Key=fleet.beside(key),
            Body=f"{digest}  {fleet.FILE}\n".encode(),
            ContentType="text/plain",
        )

    def history(self, most: int = 50) -> list[Landing]:
        """Return what has landed, the last that changed first."""
        index = tables.FLEET.indexes[0]
        found = self.clients.dynamodb.query(
            TableName=self.place.table,
            IndexName=index.name,
            KeyConditionExpression="#kind = :kind",
            ExpressionAttributeNames={"#kind": index.hash},
            ExpressionAttributeValues={":kind": {"S": fleet.KIND}},
            ScanIndexForward=False,
            Limit=most,
        )
        landings = [_landing(_plain(each)) for each in found["Items"]]
        return sorted(landings, key=lambda each: each.at, reverse=True)

    def landing(self, name: str, version_id: str) -> Landing | None:
        """Return what became of one version of a model, if anything has yet."""
        return next(
            (each for each in self.history() if (each.name, each.version_id) == (name, version_id)), None
        )

    def settled(
        self, name: str, version_id: str, *, patience: float, each: Callable[[], None] = lambda: None
    ) -> Landing:
        """Wait until a model serves or was refused; *each* is called at every look.

        Raise Problem when it will be neither: something newer serves, or has its place in the bucket.
        """
        until = self.clock() + patience
        while self.clock() < until:
            found = self.landing(name, version_id)
            if found and found.status in ENDED:
                return found
            if found is None or found.status == fleet.SUPERSEDED:
                self._check_turn(name, version_id)
            each()
            self.sleep(0.5)
        raise Problem(
            f"{name} neither serves nor was refused within {patience:.0f} s: see `atelier fleet status`"
        )

    def _check_turn(self, name: str, version_id: str) -> None:
        """Raise Problem when a model gets no turn any more."""
        key = fleet.key(name)
        try:
            current = self.clients.s3.head_object(Bucket=self.place.bucket, Key=key)
        except ClientError:
            return  # it cannot be known
        if current["VersionId"] != version_id:
            raise Problem(f"the fleet leaves {name} alone: another upload under that name took its place")
        state = self._item(fleet.STATE)
        serving = json.loads(state["document"]).get("serving") if state else None
        if serving is None:
            return
        landed, served = current["LastModified"], datetime.fromisoformat(serving["landed"])
        if (landed, key) < (served, serving["key"]):
            raise Problem(
                f"the fleet leaves {name} alone: its upload began at {landed.isoformat()}, before that of"
                f" {serving['name']}, which serves ({served.isoformat()}): let it land again"
            )

    def ask(self, request: Mapping[str, Any], *, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Ask through the load balancer; raise Refusal with its own words."""
        return ask(self.place.url, request, timeout=timeout)

    def _item(self, key: str) -> dict[str, Any] | None:
        found = self.clients.dynamodb.get_item(
            TableName=self.place.table, Key={"id": {"S": key}}, ConsistentRead=True
        )
        return _plain(found["Item"]) if "Item" in found else None


def connect(clients: Clients, prefix: str = PREFIX) -> Fleet:
    """Return the fleet of an installation."""
    return Fleet(clients=clients, place=place(clients, prefix))


def ask(url: str, request: Mapping[str, Any], *, timeout: float = TIMEOUT) -> dict[str, Any]:
    """Ask a fleet for completions; who asks needs no account, only the address."""
    address = f"{url}/invocations"
    call = urllib.request.Request(
        address,
        data=json.dumps(request).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with opener(url).open(call, timeout=timeout) as answer:
            document: dict[str, Any] = json.load(answer)
            return document
    except urllib.error.HTTPError as error:
        with error:
            raise Refusal(f"{address} answered {error.code}: {message(error.read())}") from error
    except OSError as error:
        raise Problem(f"{address} cannot be reached: {getattr(error, 'reason', error)}") from error
    except ValueError as error:
        raise Problem(f"{address} answered with something that is not JSON") from error


def _checked(path: Path) -> str:
    """Return an archive's SHA-256; refuse what the fleet would refuse, before it is uploaded."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            names = {each.name.removeprefix("./") for each in archive}
    except (tarfile.TarError, EOFError) as error:
        raise Problem(f"{path} is no whole .tar.gz: {error}") from error
    if missing := [each for each in NEEDED if each not in names]:
        raise Problem(f"{path} is no model: it lacks {', '.join(missing)}")
    digest = hashlib.sha256()
    for piece in _pieces(path):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    read = TypeDeserializer().deserialize
    return {name: read(value) for name, value in item.items()}


def _landing(item: Mapping[str, Any]) -> Landing:
    names = {each.name for each in fields(Landing)}
    known = {name: value for name, value in item.items() if name in names}
    return Landing(**{**known, "size": int(item.get("size", 0))})
