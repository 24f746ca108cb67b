"""Repositories: made, shown, changed, deleted; logins to their registry."""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import asdict
from datetime import UTC, datetime

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.engines.registry import Tokens
from atelier.cloud.services.ecr.catalogue import CHANGING, forget, pushed
from atelier.cloud.services.ecr.live import storage
from atelier.cloud.services.ecr.service import (
    SERVICE,
    known,
    paged,
    repositories,
    repository,
    repository_arn,
    where,
)
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

TOKEN_SECONDS = 12 * 3600

SHOWN = (
    "repositoryArn",
    "registryId",
    "repositoryName",
    "repositoryUri",
    "createdAt",
    "imageTagMutability",
    "imageScanningConfiguration",
    "encryptionConfiguration",
)


@SERVICE.operation("CreateRepository", on=repository_arn)
def create_repository(cloud: Cloud, request: Document) -> Document:
    """Make a repository."""
    name, table = request["repositoryName"], repositories(cloud)
    _check_settings(request)
    with table.lock:
        if name in table:
            raise ServiceError(
                "RepositoryAlreadyExistsException",
                f"The repository with name '{name}' already exists in {where(cloud)}",
            )
        record = {
            "repositoryArn": repository_arn(cloud, request),
            "registryId": cloud.account,
            "repositoryName": name,
            "repositoryUri": f"{storage(cloud).host}/{name}",
            "createdAt": datetime.now(UTC).isoformat(),
            "imageTagMutability": request.get("imageTagMutability", "MUTABLE"),
            "imageScanningConfiguration": request.get("imageScanningConfiguration", {"scanOnPush": False}),
            "encryptionConfiguration": request.get("encryptionConfiguration", {"encryptionType": "AES256"}),
            "tags": request.get("tags", []),
        }
        table.put(name, record)
    return {"repository": _view(record)}


def _check_settings(request: Document) -> None:
    """Refuse what would be kept but not done."""
    if request.get("imageTagMutability", "").endswith("_WITH_EXCLUSION"):
        raise Refused(f"imageTagMutability {request['imageTagMutability']} is not part of the local cloud")
    if "imageTagMutabilityExclusionFilters" in request:
        raise Refused("imageTagMutabilityExclusionFilters is not part of the local cloud")
    encryption = request.get("encryptionConfiguration", {})
    if encryption.get("encryptionType", "AES256") != "AES256" or "kmsKey" in encryption:
        raise Refused("encryptionConfiguration: only AES256, ECR's default, is part of the local cloud")


def _view(record: Record) -> Document:
    return {name: record[name] for name in SHOWN}


def _named(cloud: Cloud, request: Document) -> list[str]:
    names = request.get("repositoryNames") or ["*"]
    return [cloud.arn("ecr", f"repository/{name}") for name in names]


@SERVICE.operation("DescribeRepositories", on=_named)
def describe_repositories(cloud: Cloud, request: Document) -> Document:
    """Return the named repositories, or all."""
    account = {"registryId": request.get("registryId", cloud.account)}
    if names := request.get("repositoryNames"):
        found = [repository(cloud, {**account, "repositoryName": name}) for name in names]
    else:
        found = [record for _, record in repositories(cloud).items()]
    return paged(request, "repositories", [_view(record) for record in found])


@SERVICE.operation("DeleteRepository", on=repository_arn)
def delete_repository(cloud: Cloud, request: Document) -> Document:
    """Delete a repository; one that has images only by force."""
    record = repository(cloud, request)
    name = record["repositoryName"]
    with CHANGING, repositories(cloud).lock:
        held = pushed(cloud, name)
        if held and not request.get("force"):
            raise ServiceError(
                "RepositoryNotEmptyException",
                f"The repository with name '{name}' in {where(cloud)} cannot be deleted because it still"
                " contains images",
            )
        for image in held:
            forget(cloud, record, image)
        repositories(cloud).delete(name)
        storage(cloud).drop(name)
    return {"repository": _view(record)}


@SERVICE.operation("PutImageTagMutability", on=repository_arn)
def put_image_tag_mutability(cloud: Cloud, request: Document) -> Document:
    """Say whether a tag may be moved."""
    record = repository(cloud, request)
    _check_settings(request)
    mutability = {"imageTagMutability": request["imageTagMutability"]}
    repositories(cloud).change(record["repositoryName"], **mutability)
    return {**known(cloud, record), **mutability}


@SERVICE.operation("PutImageScanningConfiguration", on=repository_arn)
def put_image_scanning_configuration(cloud: Cloud, request: Document) -> Document:
    """Keep the setting; what it comes to here, DescribeImages says: UNSUPPORTED_IMAGE."""
    record = repository(cloud, request)
    setting = {"imageScanningConfiguration": request["imageScanningConfiguration"]}
    repositories(cloud).change(record["repositoryName"], **setting)
    return {**known(cloud, record), **setting}


@SERVICE.operation("GetAuthorizationToken", on=everything)
def get_authorization_token(cloud: Cloud, request: Document) -> Document:
    """Give out a password for `docker login`, good for twelve hours."""
    if set(request.get("registryIds", [cloud.account])) != {cloud.account}:
        raise Refused("registryIds: the local cloud has one registry, that of its account")
    password, expires = secrets.token_urlsafe(96), time.time() + TOKEN_SECONDS
    store = storage(cloud)
    Tokens(cloud.home).issue(password, store.host, expires, asdict(cloud.identity.caller()))
    token = base64.b64encode(f"AWS:{password}".encode()).decode()
    endpoint = f"{store.scheme}://{store.host}"
    expiry = datetime.fromtimestamp(expires, UTC)
    return {
        "authorizationData": [{"authorizationToken": token, "expiresAt": expiry, "proxyEndpoint": endpoint}]
    }


def _resource(_cloud: Cloud, request: Document) -> str:
    return str(request["resourceArn"])


def _tagged(cloud: Cloud, request: Document) -> Record:
    name = request["resourceArn"].partition(":repository/")[2]
    return repository(cloud, {"repositoryName": name})


@SERVICE.operation("ListTagsForResource", on=_resource)
def list_tags_for_resource(cloud: Cloud, request: Document) -> Document:
    """Return a repository's tags."""
    return {"tags": _tagged(cloud, request)["tags"]}


@SERVICE.operation("TagResource", on=_resource)
def tag_resource(cloud: Cloud, request: Document) -> None:
    """Add tags to a repository, or change them."""
    _retag(cloud, request, {each["Key"]: each["Value"] for each in request["tags"]})


@SERVICE.operation("UntagResource", on=_resource)
def untag_resource(cloud: Cloud, request: Document) -> None:
    """Take tags from a repository."""
    _retag(cloud, request, dict.fromkeys(request["tagKeys"]))


def _retag(cloud: Cloud, request: Document, changes: dict[str, str | None]) -> None:
    with repositories(cloud).lock:
        record = _tagged(cloud, request)
        tags = {**{each["Key"]: each["Value"] for each in record["tags"]}, **changes}
        kept = [{"Key": key, "Value": value} for key, value in tags.items() if value is not None]
        repositories(cloud).change(record["repositoryName"], tags=kept)
