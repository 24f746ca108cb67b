"""What the operations of ECR have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.wire import Document, Service, ServiceError
from atelier.cloud.store import Record, Table

SERVICE = Service("ecr", actions="ecr")

PAGE = 100


def repositories(cloud: Cloud) -> Table:
    """Return the records of repositories, by name."""
    return cloud.store.table("ecr.repositories")


def repository_arn(cloud: Cloud, request: Document) -> str:
    """Return the ARN of the repository that a request names."""
    return cloud.arn("ecr", f"repository/{request['repositoryName']}")


def repository(cloud: Cloud, request: Document) -> Record:
    """Return the record of the repository that a request names, or raise that there is none."""
    name = request["repositoryName"]
    record = repositories(cloud).get(name)
    if record is None or request.get("registryId", cloud.account) != cloud.account:
        raise ServiceError(
            "RepositoryNotFoundException",
            f"The repository with name '{name}' does not exist in {where(cloud)}",
        )
    return record


def where(cloud: Cloud) -> str:
    """Name the registry as ECR's messages do."""
    return f"the registry with id '{cloud.account}'"


def known(cloud: Cloud, record: Record) -> Document:
    """Return the two members that name a repository in most responses."""
    return {"registryId": cloud.account, "repositoryName": record["repositoryName"]}


def paged(request: Document, key: str, found: list[Any]) -> Document:
    """Return one page of a list under *key*, with the token of the next."""
    token = request.get("nextToken", "0")
    if not token.isdecimal():
        raise ServiceError("InvalidParameterException", "Invalid parameter at 'nextToken'")
    first = int(token)
    last = first + request.get("maxResults", PAGE)
    return {key: found[first:last], "nextToken": str(last) if last < len(found) else None}


def of_repository(table: Table, name: str) -> Iterator[tuple[str, Record]]:
    """Return the records of one repository: keys are ``<name>@<digest>``."""
    return ((key, record) for key, record in table.items() if key.rpartition("@")[0] == name)
