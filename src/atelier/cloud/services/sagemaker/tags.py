"""Tags of jobs, models, configurations and endpoints."""

from __future__ import annotations

from atelier.cloud.context import Cloud
from atelier.cloud.services.sagemaker.service import SERVICE, invalid
from atelier.cloud.services.wire import Document
from atelier.cloud.store import Table

LIMIT = 50


def _on(_cloud: Cloud, request: Document) -> str:
    arn: str = request["ResourceArn"]
    return arn


@SERVICE.operation("AddTags", on=_on)
def add(cloud: Cloud, request: Document) -> Document:
    """Set tags; those of the same key are replaced."""
    return {"Tags": _listed(tag(cloud, request["ResourceArn"], request["Tags"]))}


@SERVICE.operation("DeleteTags", on=_on)
def delete(cloud: Cloud, request: Document) -> None:
    """Remove tags by key."""
    with _table(cloud).lock:
        tags = _table(cloud).get(request["ResourceArn"]) or {}
        _table(cloud).put(
            request["ResourceArn"], {key: tags[key] for key in tags if key not in request["TagKeys"]}
        )


@SERVICE.operation("ListTags", on=_on)
def list_tags(cloud: Cloud, request: Document) -> Document:
    """List the tags of a resource."""
    return {"Tags": _listed(_table(cloud).get(request["ResourceArn"]) or {})}


def tag(cloud: Cloud, arn: str, tags: list[dict[str, str]]) -> dict[str, str]:
    """Add tags to those of a resource and return all of them."""
    with _table(cloud).lock:
        all_tags: dict[str, str] = {
            **(_table(cloud).get(arn) or {}),
            **{each["Key"]: each["Value"] for each in tags},
        }
        if len(all_tags) > LIMIT:
            raise invalid(f"{arn} would have more than {LIMIT} tags")
        if all_tags:
            _table(cloud).put(arn, all_tags)
    return all_tags


def untag(cloud: Cloud, arn: str) -> None:
    """Forget the tags of a resource that is gone."""
    _table(cloud).delete(arn)


def _table(cloud: Cloud) -> Table:
    return cloud.store.table("sagemaker.tags")


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
