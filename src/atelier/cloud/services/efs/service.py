"""The EFS API: its service object, its records, and what all its operations share."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.wire import Document, Service, ServiceError
from atelier.cloud.store import Record, Table

SCOPE = "elasticfilesystem"
SERVICE = Service("efs", actions=SCOPE)
LIMIT = 100
"""Records on a page, unless less is asked for."""


def file_systems(cloud: Cloud) -> Table:
    """Return the file systems by id."""
    return cloud.store.table("efs.file-systems")


def access_points(cloud: Cloud) -> Table:
    """Return the access points by id."""
    return cloud.store.table("efs.access-points")


def mount_targets(cloud: Cloud) -> Table:
    """Return the mount targets by id."""
    return cloud.store.table("efs.mount-targets")


def folder(cloud: Cloud, file_system_id: str) -> Path:
    """Return where the files of a file system are."""
    return cloud.home / "efs" / file_system_id


def new_id(kind: str) -> str:
    """Return an id as EFS writes them: ``fs-0123456789abcdef0``."""
    return f"{kind}-{secrets.token_hex(9)[:17]}"


def now() -> str:
    """Return the time as records keep it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def plain_id(given: str) -> str:
    """Return an id that may have been given as an ARN."""
    return given.rpartition("/")[2]


def file_system_arn(cloud: Cloud, id: str) -> str:
    """Return a file system's ARN."""
    return cloud.arn(SCOPE, f"file-system/{plain_id(id)}")


def access_point_arn(cloud: Cloud, id: str) -> str:
    """Return an access point's ARN."""
    return cloud.arn(SCOPE, f"access-point/{plain_id(id)}")


def file_system(cloud: Cloud, id: str) -> Record:
    """Return a file system, or answer as EFS does."""
    record = file_systems(cloud).get(plain_id(id))
    if record is None:
        raise ServiceError("FileSystemNotFound", f"File system '{plain_id(id)}' does not exist.", status=404)
    return record


def access_point(cloud: Cloud, id: str) -> Record:
    """Return an access point, or answer as EFS does."""
    record = access_points(cloud).get(plain_id(id))
    if record is None:
        raise ServiceError(
            "AccessPointNotFound", f"Access Point '{plain_id(id)}' does not exist.", status=404
        )
    return record


def mount_target(cloud: Cloud, id: str) -> Record:
    """Return a mount target, or answer as EFS does."""
    record = mount_targets(cloud).get(id)
    if record is None:
        raise ServiceError("MountTargetNotFound", f"Mount target '{id}' does not exist.", status=404)
    return record


def targets_of(cloud: Cloud, file_system_id: str) -> list[Record]:
    """Return the mount targets of a file system."""
    return [each for _, each in mount_targets(cloud).items() if each["FileSystemId"] == file_system_id]


def on_file_system(cloud: Cloud, request: Document) -> str:
    """Authorise on the file system that is named, or on all of them."""
    return file_system_arn(cloud, request.get("FileSystemId") or "*")


def on_all(cloud: Cloud, _request: Document) -> str:
    """Authorise on all file systems."""
    return file_system_arn(cloud, "*")


def on_access_point(cloud: Cloud, request: Document) -> str:
    """Authorise on the access point that is named, or on the file system whose points are listed."""
    if request.get("AccessPointId"):
        return access_point_arn(cloud, request["AccessPointId"])
    return on_file_system(cloud, request)


def on_mount_target(cloud: Cloud, request: Document) -> str:
    """Authorise on the file system of the mount target that is named."""
    if request.get("MountTargetId"):
        return file_system_arn(cloud, mount_target(cloud, request["MountTargetId"])["FileSystemId"])
    return on_file_system(cloud, request)


def only(where: str, request: Mapping[str, Any], *names: str) -> None:
    """Refuse by name every member of a request that the local cloud does not read."""
    for key, value in request.items():
        if key not in names and value not in (None, False, "", [], {}):
            raise Refused(f"Unsupported: {where}.{key} is not part of the local cloud")


def page(rows: Sequence[Record], token: str | None, most: int | None) -> tuple[list[Record], str | None]:
    """Return a page of records, and the token of the next one."""
    if not (token or "0").isdecimal():
        raise ServiceError("BadRequest", f"{token!r} is no marker of this listing")
    first = int(token or 0)
    last = first + min(most or LIMIT, LIMIT)
    return list(rows[first:last]), str(last) if last < len(rows) else None


def tags_of(tags: Iterable[Document]) -> dict[str, str]:
    """Return tags by key; raise for AWS's own."""
    found = {str(each["Key"]): str(each["Value"]) for each in tags}
    if reserved := [key for key in found if key.lower().startswith("aws:")]:
        raise ServiceError("BadRequest", f"the tag {reserved[0]} begins as only AWS's own do")
    return found


def shown(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as EFS shows them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
