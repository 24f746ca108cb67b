"""What all of EC2's modules share: the service, its records, its errors, and filters."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.wire import Document, Service, ServiceError
from atelier.cloud.store import Record, Table

SERVICE = Service("ec2", actions="ec2")

VPC, SUBNET, ZONE = "vpc-default", "subnet-default", "a"
"""The one network of the local cloud: this machine's loopback interface."""

Values = Callable[[Record, str], Iterable[str] | None]
"""(record, filter's name) -> what the record has there, or None when there is no such filter."""


def instances(cloud: Cloud) -> Table:
    """Return the instances by id."""
    return cloud.store.table("ec2.instances")


def volumes(cloud: Cloud) -> Table:
    """Return the volumes by id."""
    return cloud.store.table("ec2.volumes")


def groups(cloud: Cloud) -> Table:
    """Return the security groups by id."""
    return cloud.store.table("ec2.groups")


def templates(cloud: Cloud) -> Table:
    """Return the launch templates by id."""
    return cloud.store.table("ec2.templates")


def _kept_as(kind: str) -> Callable[[Cloud], Table]:
    return lambda cloud: cloud.store.table(f"ec2.{kind}s")


NETWORK = {
    "vpc": "vpc",
    "subnet": "subnet",
    "rtb": "route-table",
    "igw": "internet-gateway",
    "nat": "natgateway",
    "eipalloc": "elastic-ip",
    "vpce": "vpc-endpoint",
    "fl": "vpc-flow-log",
}
"""What a network is made of, by what its id begins with; nothing is routed here, so it is recorded only."""

TABLES: Mapping[str, Callable[[Cloud], Table]] = {
    "i": instances,
    "vol": volumes,
    "sg": groups,
    "lt": templates,
    **{prefix: _kept_as(kind) for prefix, kind in NETWORK.items()},
}
"""Where a resource is kept, by what its id begins with."""

KINDS = {
    "i": "instance",
    "vol": "volume",
    "sg": "security-group",
    "lt": "launch-template",
    **NETWORK,
}


def new_id(kind: str) -> str:
    """Return an id as EC2 writes them: ``i-0123456789abcdef0``."""
    return f"{kind}-{secrets.token_hex(9)[:17]}"


def now() -> str:
    """Return the time as records keep it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def zone(cloud: Cloud) -> str:
    """Return the availability zone of everything here."""
    return f"{cloud.region}{ZONE}"


def arn(cloud: Cloud, id: str) -> str:
    """Return the ARN of a resource by its id."""
    return cloud.arn("ec2", f"{KINDS[id.partition('-')[0]]}/{id}")


def on_ids(member: str) -> Callable[[Cloud, Document], list[str]]:
    """Authorise on the resources that a request lists in *member*."""
    return lambda cloud, request: [_arn_of(cloud, each) for each in request[member]]


def on_id(member: str) -> Callable[[Cloud, Document], str]:
    """Authorise on the resource that a request names in *member*."""
    return lambda cloud, request: _arn_of(cloud, request[member])


def _arn_of(cloud: Cloud, id: str) -> str:
    if id.partition("-")[0] not in KINDS:
        raise ServiceError("InvalidID", f"The ID '{id}' is not valid")
    return arn(cloud, id)


def unsupported(request: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raise ServiceError for a member that the local cloud does not read."""
    if odd := sorted(set(request) - set(known) - {"DryRun"}):
        raise ServiceError("UnsupportedOperation", f"{where}.{odd[0]} is not part of the local cloud")
    if request.get("DryRun"):
        raise ServiceError(
            "DryRunOperation", "Request would have succeeded, but DryRun flag is set.", status=412
        )


def found(table: Table, ids: Sequence[str] | None, error: str, noun: str) -> list[Record]:
    """Return the records of *ids*, or all; raise ServiceError for one that is not there."""
    if not ids:
        return [record for _, record in table.items()]
    records = {each: table.get(each) for each in ids}
    if missing := [key for key, record in records.items() if record is None]:
        raise ServiceError(error, f"The {noun} ID{'s' * (len(missing) > 1)} '{', '.join(missing)}' do"
                                  f"{'es' * (len(missing) == 1)} not exist")  # fmt: skip
    return [record for record in records.values() if record is not None]


def tags_of(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a record's tags as EC2 shows them."""
    return [{"Key": key, "Value": value} for key, value in sorted(record.get("Tags", {}).items())]


def filtered(records: Iterable[Record], filters: Sequence[Document], values: Values) -> list[Record]:
    """Return the records that pass every filter; raise ServiceError for a filter that is not known."""
    return [record for record in records if all(_passes(record, each, values) for each in filters)]


def _passes(record: Record, wanted: Document, values: Values) -> bool:
    name = wanted.get("Name", "")
    has: Iterable[str] | None
    if name.startswith("tag:"):
        value = record.get("Tags", {}).get(name.removeprefix("tag:"))
        has = [] if value is None else [value]
    elif name == "tag-key":
        has = record.get("Tags", {})
    else:
        has = values(record, name)
    if has is None:
        raise ServiceError("InvalidParameterValue", f"The filter '{name}' is not part of the local cloud")
    return bool(set(has) & set(wanted.get("Values", ())))


def page(rows: list[Any], request: Document) -> tuple[list[Any], str | None]:
    """Return a page of the rows, and the token of the next one."""
    token = request.get("NextToken") or "0"
    if not token.isdecimal():
        raise ServiceError("InvalidNextToken", "The token is not valid")
    first = int(token)
    last = first + request.get("MaxResults", 1000)
    return rows[first:last], str(last) if last < len(rows) else None
