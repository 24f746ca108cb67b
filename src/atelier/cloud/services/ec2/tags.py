"""Tags of instances, volumes, groups and launch templates."""

from __future__ import annotations

from collections.abc import Iterable

from atelier.cloud.context import Cloud
from atelier.cloud.services.ec2.service import KINDS, SERVICE, TABLES, filtered, on_ids, page, unsupported
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record, Table

MOST = 50


@SERVICE.operation("CreateTags", on=on_ids("Resources"))
def create(cloud: Cloud, request: Document) -> None:
    """Set tags on resources; all of them must be there."""
    unsupported(request, ("Resources", "Tags"), "CreateTags")
    tags = checked(plain(request["Tags"]))
    for table, id in _places(cloud, request["Resources"]):
        with table.lock:
            record = table.get(id) or {}
            record["Tags"] = few({**record.get("Tags", {}), **tags})
            table.put(id, record)


@SERVICE.operation("DeleteTags", on=on_ids("Resources"))
def delete(cloud: Cloud, request: Document) -> None:
    """Take tags from resources; one that is given with a value goes only when it has that value."""
    unsupported(request, ("Resources", "Tags"), "DeleteTags")
    gone = {each["Key"]: each.get("Value") for each in request.get("Tags", ())}
    for table, id in _places(cloud, request["Resources"]):
        with table.lock:
            record = table.get(id) or {}
            tags = record.get("Tags", {})
            record["Tags"] = {
                key: value for key, value in tags.items() if key not in gone or gone[key] not in (None, value)
            }
            table.put(id, record)


@SERVICE.operation("DescribeTags", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List tags."""
    unsupported(request, ("Filters", "MaxResults", "NextToken"), "DescribeTags")
    rows = [
        {"Key": key, "Value": value, "ResourceId": id, "ResourceType": KINDS[kind], "Tags": {}}
        for kind, table in TABLES.items()
        for id, record in table(cloud).items()
        for key, value in sorted(record.get("Tags", {}).items())
    ]
    shown, token = page(filtered(rows, request.get("Filters", ()), _values), request)
    return {"Tags": [{k: v for k, v in row.items() if k != "Tags"} for row in shown], "NextToken": token}


def plain(tags: Iterable[Document]) -> dict[str, str]:
    """Return tags by key."""
    return {each.get("Key", ""): each.get("Value", "") for each in tags}


def checked(tags: dict[str, str]) -> dict[str, str]:
    """Return tags that a person sets; raise ServiceError for what EC2 does not take."""
    for key, value in tags.items():
        if not 0 < len(key) <= 128 or key.startswith("aws:") or len(value) > 256:
            raise ServiceError("InvalidParameterValue", f"The tag '{key}' is not valid")
    return tags


def few(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags of one resource; raise ServiceError for too many."""
    if len(tags) > MOST:
        raise ServiceError("TagLimitExceeded", f"A resource has at most {MOST} tags")
    return tags


def _places(cloud: Cloud, ids: Iterable[str]) -> list[tuple[Table, str]]:
    places = [(TABLES[each.partition("-")[0]](cloud), each) for each in ids]
    for table, id in places:
        if id not in table:
            raise ServiceError("InvalidID", f"The ID '{id}' is not valid")
    return places


def _values(row: Record, name: str) -> Iterable[str] | None:
    members = {
        "key": "Key", "value": "Value", "resource-id": "ResourceId", "resource-type": "ResourceType",
    }  # fmt: skip
    return [row[members[name]]] if name in members else None
