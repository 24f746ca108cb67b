"""Tags of clusters, services, tasks and task definitions."""

from __future__ import annotations

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecs.service import SERVICE, clusters, definitions, invalid, services, tasks
from atelier.cloud.services.wire import Document
from atelier.cloud.store import Record, Table


def on_resource(_cloud: Cloud, request: Document) -> str:
    """Authorise on the resource that the request names."""
    return str(request["resourceArn"])


@SERVICE.operation("TagResource", on=on_resource)
def tag(cloud: Cloud, request: Document) -> None:
    """Add tags, or change their values."""
    table, key, record, member = _found(cloud, request["resourceArn"])
    given = {each["key"]: each for each in request["tags"]}
    kept = [each for each in record.get(member, []) if each["key"] not in given]
    table.change(key, **{member: [*kept, *given.values()]})


@SERVICE.operation("UntagResource", on=on_resource)
def untag(cloud: Cloud, request: Document) -> None:
    """Remove tags."""
    table, key, record, member = _found(cloud, request["resourceArn"])
    kept = [each for each in record.get(member, []) if each["key"] not in request["tagKeys"]]
    table.change(key, **{member: kept})


@SERVICE.operation("ListTagsForResource", on=on_resource)
def list_tags(cloud: Cloud, request: Document) -> Document:
    """List tags."""
    _, _, record, member = _found(cloud, request["resourceArn"])
    return {"tags": record.get(member, [])}


def _found(cloud: Cloud, arn: str) -> tuple[Table, str, Record, str]:
    kind, _, name = arn.split(":", 5)[-1].partition("/")
    places = {
        "cluster": (clusters(cloud), name, "tags"),
        "service": (services(cloud), name, "tags"),
        "task": (tasks(cloud), name.rpartition("/")[2], "tags"),
        "task-definition": (definitions(cloud), name, "Tags"),
    }
    table, key, member = places.get(kind, (clusters(cloud), "", ""))
    record = table.get(key)
    if record is None:
        raise invalid("The specified resource was not found.")
    return table, key, record, member
