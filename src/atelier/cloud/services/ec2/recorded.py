"""The form of what a network is made of: recorded and checked as on AWS, though nothing is routed here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.ec2.service import NETWORK, TABLES, new_id
from atelier.cloud.services.ec2.tags import plain
from atelier.cloud.services.resources import Made, Request, ResourceType
from atelier.cloud.services.wire import ServiceError
from atelier.cloud.store import Record

Properties = Mapping[str, Any]
Check = Callable[[Cloud, Properties, str], Record]
"""(cloud, properties, own id) -> what is remembered beside them; raises for what AWS refuses."""


def _nobody(_cloud: Cloud, _record: Record) -> Iterable[str]:
    return ()


def _id(record: Record) -> str:
    return str(record["Id"])


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One CloudFormation type; what is *changeable* changes in place, anything else makes another one.

    *users* names what must go before it can go.
    """

    type: str
    prefix: str
    needed: tuple[str, ...] = ()
    changeable: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    check: Check
    attributes: Callable[[Record], Mapping[str, Any]]
    users: Callable[[Cloud, Record], Iterable[str]] = _nobody
    ref: Callable[[Record], str] = _id

    def resource(self) -> ResourceType:
        """Return it as CloudFormation is told of it."""
        return ResourceType(
            type=self.type,
            properties=frozenset({*self.needed, *self.changeable, *self.fixed, "Tags"}),
            create=self._create,
            update=self._update,
            delete=self._delete,
        )

    def records(self, cloud: Cloud) -> list[Record]:
        """Return all there are of it."""
        return [record for _, record in TABLES[self.prefix](cloud).items()]

    def _create(self, cloud: Cloud, request: Request) -> Made:
        given = self._read(request.properties)
        table = TABLES[self.prefix](cloud)
        with table.lock:
            record = self._record(cloud, given, new_id(self.prefix))
            table.put(record["Id"], record)
        return self._made(record)

    def _update(self, cloud: Cloud, ref: str, request: Request) -> Made:
        given, table = self._read(request.properties), TABLES[self.prefix](cloud)
        with table.lock:
            old = self._find(cloud, ref)
            if old is None or any(
                old["Given"].get(name) != given.get(name) for name in (*self.needed, *self.fixed)
            ):
                return self._create(cloud, request)
            record = {**old, **self._record(cloud, given, old["Id"])}
            table.put(record["Id"], record)
        return self._made(record)

    def _delete(self, cloud: Cloud, ref: str, _properties: Properties) -> None:
        record = self._find(cloud, ref)
        if record is None:
            return
        if user := next(iter(self.users(cloud, record)), None):
            raise ServiceError("DependencyViolation", f"resource {ref} has a dependent object: {user}")
        TABLES[self.prefix](cloud).delete(record["Id"])

    def _find(self, cloud: Cloud, ref: str) -> Record | None:
        return next((each for each in self.records(cloud) if self.ref(each) == ref), None)

    def _read(self, given: Properties) -> dict[str, Any]:
        if missing := [name for name in self.needed if given.get(name) in (None, "")]:
            raise Refused(f"{self.type} needs {', '.join(missing)}")
        return dict(given)

    def _record(self, cloud: Cloud, given: dict[str, Any], id: str) -> Record:
        tags = plain(given.get("Tags") or ())
        return {"Id": id, "Given": given, "Tags": tags, **self.check(cloud, given, id)}

    def _made(self, record: Record) -> Made:
        return Made(ref=self.ref(record), attributes=self.attributes(record))


def existing(cloud: Cloud, id: Any, error: str, noun: str) -> Record:
    """Return the record of an id of the network; raise ServiceError when there is none."""
    prefix = str(id).partition("-")[0]
    record = TABLES[prefix](cloud).get(str(id)) if prefix in NETWORK else None
    if record is None:
        raise ServiceError(error, f"The {noun} ID '{id}' does not exist")
    return record
