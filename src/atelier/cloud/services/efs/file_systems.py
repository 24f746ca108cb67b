"""File systems: folders that outlive everything that mounts them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.efs.service import (
    SERVICE,
    access_points,
    file_system,
    file_system_arn,
    file_systems,
    folder,
    new_id,
    now,
    on_all,
    on_file_system,
    only,
    page,
    plain_id,
    shown,
    tags_of,
    targets_of,
)
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

THROUGHPUT = ("bursting", "elastic")


@SERVICE.operation("CreateFileSystem", on=on_all)
def create(cloud: Cloud, request: Document) -> Document:
    """Make a file system, and the folder that holds its files."""
    read = ("CreationToken", "PerformanceMode", "Encrypted", "ThroughputMode", "Backup", "Tags")
    only("CreateFileSystem", request, *read)
    mode = request.get("ThroughputMode", "bursting")
    if mode not in THROUGHPUT:
        raise Refused(f"Unsupported: CreateFileSystem.ThroughputMode={mode} is not part of the local cloud")
    token, id = request["CreationToken"], new_id("fs")
    with file_systems(cloud).lock:
        for _, each in file_systems(cloud).items():
            if each["CreationToken"] == token:
                message = f"File system '{each['FileSystemId']}' already exists with creation token '{token}'"
                raise ServiceError("FileSystemAlreadyExists", message, status=409)
        record = {
            "FileSystemId": id,
            "CreationToken": token,
            "CreationTime": now(),
            "PerformanceMode": request.get("PerformanceMode", "generalPurpose"),
            "ThroughputMode": mode,
            "Encrypted": bool(request.get("Encrypted", False)),
            "Backup": "ENABLED" if request.get("Backup") else "DISABLED",
            "Lifecycle": [],
            "Policy": None,
            "Tags": tags_of(request.get("Tags", ())),
        }
        folder(cloud, id).mkdir(parents=True)
        folder(cloud, id).chmod(0o755)  # whatever the cloud's own umask: a container may be another user
        file_systems(cloud).put(id, record)
    return described(cloud, record)


@SERVICE.operation("DescribeFileSystems", on=on_file_system)
def describe(cloud: Cloud, request: Document) -> Document:
    """List file systems, with the size that their files really have."""
    if request.get("FileSystemId"):
        rows = [file_system(cloud, request["FileSystemId"])]
    else:
        rows = [each for _, each in file_systems(cloud).items()]
    if "CreationToken" in request:
        rows = [each for each in rows if each["CreationToken"] == request["CreationToken"]]
    listed, marker = page(rows, request.get("Marker"), request.get("MaxItems"))
    return {"FileSystems": [described(cloud, each) for each in listed], "NextMarker": marker}


@SERVICE.operation("DeleteFileSystem", on=on_file_system)
def delete(cloud: Cloud, request: Document) -> None:
    """Delete a file system that nothing can mount any more, with all its files."""
    id = plain_id(request["FileSystemId"])
    with file_systems(cloud).lock:
        file_system(cloud, id)
        if targets_of(cloud, id):
            raise ServiceError("FileSystemInUse", f"file system {id} has mount targets", status=409)
        for point, each in list(access_points(cloud).items()):
            if each["FileSystemId"] == id:
                access_points(cloud).delete(point)
        file_systems(cloud).delete(id)
    shutil.rmtree(folder(cloud, id), ignore_errors=True)


@SERVICE.operation("UpdateFileSystem", on=on_file_system)
def update(cloud: Cloud, request: Document) -> Document:
    """Change how throughput is counted; here nothing is counted."""
    only("UpdateFileSystem", request, "FileSystemId", "ThroughputMode")
    id, mode = plain_id(request["FileSystemId"]), request.get("ThroughputMode")
    file_system(cloud, id)
    if mode is not None and mode not in THROUGHPUT:
        raise Refused(f"Unsupported: UpdateFileSystem.ThroughputMode={mode} is not part of the local cloud")
    return described(cloud, file_systems(cloud).change(id, **({"ThroughputMode": mode} if mode else {})))


def described(cloud: Cloud, record: Record) -> Document:
    """Return a file system as EFS describes it."""
    id = record["FileSystemId"]
    return {
        "FileSystemId": id,
        "FileSystemArn": file_system_arn(cloud, id),
        "CreationToken": record["CreationToken"],
        "CreationTime": record["CreationTime"],
        "OwnerId": cloud.account,
        "Name": record["Tags"].get("Name"),
        "LifeCycleState": "available",
        "NumberOfMountTargets": len(targets_of(cloud, id)),
        "SizeInBytes": {"Value": _size(folder(cloud, id))},
        "PerformanceMode": record["PerformanceMode"],
        "ThroughputMode": record["ThroughputMode"],
        "Encrypted": record["Encrypted"],
        "Tags": shown(record["Tags"]),
    }


def _size(root: Path) -> int:
    """Add up the files; some may come and go meanwhile."""
    size = 0
    for place, _, names in os.walk(root):
        for name in names:
            try:
                size += Path(place, name).lstat().st_size
            except FileNotFoundError:
                continue
    return size
