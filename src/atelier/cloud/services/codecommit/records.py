"""What is remembered of a repository, apart from git's own files."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.codecommit import repositories
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

REPOSITORIES = "codecommit.repositories"


def create(cloud: Cloud, name: str, description: str | None, tags: dict[str, str]) -> Record:
    """Make a repository and remember it."""
    table = cloud.store.table(REPOSITORIES)
    if name.lower().endswith(".git") or name.startswith("."):
        raise ServiceError("InvalidRepositoryNameException", f"{name!r} is not a name for a repository")
    with table.lock:
        if name in table:
            raise ServiceError("RepositoryNameExistsException", f"Repository named {name} already exists")
        if (place := repositories.path(cloud, name)).exists():
            raise Refused(f"{place} is there already, but is no repository of this cloud: move it away")
        now = datetime.now(UTC).isoformat()
        record = {
            "repositoryId": str(uuid.uuid4()),
            "repositoryName": name,
            "repositoryDescription": description,
            "creationDate": now,
            "lastModifiedDate": now,
            "tags": tags,
        }
        repositories.make(cloud, name)
        table.put(name, record)
    return record


def find(cloud: Cloud, name: str) -> Record:
    """Return the repository; raise the error that CodeCommit names for one that is not there."""
    record = cloud.store.table(REPOSITORIES).get(name)
    if record is None:
        raise ServiceError("RepositoryDoesNotExistException", f"{name} does not exist")
    return record


def by_id(cloud: Cloud, repository_id: str) -> Record | None:
    """Return the repository with this id, or None."""
    records = (record for _, record in cloud.store.table(REPOSITORIES).items())
    return next((each for each in records if each["repositoryId"] == repository_id), None)


def forget(cloud: Cloud, name: str) -> None:
    """Remove the repository, its history too."""
    cloud.store.table(REPOSITORIES).delete(name)
    cloud.store.table("codecommit.references").delete(name)
    repositories.remove(cloud, name)


def metadata(cloud: Cloud, record: Record) -> Document:
    """Return what GetRepository says; both clone URLs are the path that git pushes to."""
    name: str = record["repositoryName"]
    place = str(repositories.path(cloud, name))
    described: dict[str, Any] = {key: value for key, value in record.items() if key != "tags"}
    return described | {
        "accountId": cloud.account,
        "defaultBranch": repositories.default_branch(cloud, name),
        "cloneUrlHttp": place,
        "cloneUrlSsh": place,
        "Arn": cloud.arn("codecommit", name),
    }
