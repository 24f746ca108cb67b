"""What a file system may be told after it was made: who may mount it, when it is backed up, and its tags."""

from __future__ import annotations

from atelier.cloud.context import Cloud
from atelier.cloud.services.efs import policy
from atelier.cloud.services.efs.service import (
    SERVICE,
    access_point,
    access_point_arn,
    access_points,
    file_system,
    file_system_arn,
    file_systems,
    on_file_system,
    page,
    plain_id,
    shown,
    tags_of,
)
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record, Table

MOST_TAGS = 50


def _change(cloud: Cloud, request: Document, **values: object) -> None:
    file_system(cloud, request["FileSystemId"])
    file_systems(cloud).change(plain_id(request["FileSystemId"]), **values)


@SERVICE.operation("PutFileSystemPolicy", on=on_file_system)
def put_policy(cloud: Cloud, request: Document) -> Document:
    """Say who may mount a file system; a policy that would not be understood is refused."""
    policy.parse(request["Policy"])
    _change(cloud, request, Policy=request["Policy"])
    return {"FileSystemId": plain_id(request["FileSystemId"]), "Policy": request["Policy"]}


@SERVICE.operation("DescribeFileSystemPolicy", on=on_file_system)
def describe_policy(cloud: Cloud, request: Document) -> Document:
    """Return the policy; without one, whoever reaches a file system may mount it."""
    record = file_system(cloud, request["FileSystemId"])
    if record["Policy"] is None:
        raise ServiceError("PolicyNotFound", f"{record['FileSystemId']} has no policy.", status=404)
    return {"FileSystemId": record["FileSystemId"], "Policy": record["Policy"]}


@SERVICE.operation("DeleteFileSystemPolicy", on=on_file_system)
def delete_policy(cloud: Cloud, request: Document) -> None:
    """Forget the policy."""
    _change(cloud, request, Policy=None)


@SERVICE.operation("PutLifecycleConfiguration", on=on_file_system)
def put_lifecycle(cloud: Cloud, request: Document) -> Document:
    """Keep when files go to a cheaper class of storage; here all are of one class."""
    policies = request["LifecyclePolicies"]
    if any(len(each) != 1 for each in policies):
        raise ServiceError("BadRequest", "a lifecycle policy holds one transition each")
    _change(cloud, request, Lifecycle=policies)
    return {"LifecyclePolicies": policies}


@SERVICE.operation("DescribeLifecycleConfiguration", on=on_file_system)
def describe_lifecycle(cloud: Cloud, request: Document) -> Document:
    """Return when files go to a cheaper class of storage."""
    return {"LifecyclePolicies": file_system(cloud, request["FileSystemId"])["Lifecycle"]}


@SERVICE.operation("PutBackupPolicy", on=on_file_system)
def put_backup(cloud: Cloud, request: Document) -> Document:
    """Keep whether AWS backs the files up; here nobody does."""
    status = request["BackupPolicy"]["Status"]
    if status not in ("ENABLED", "DISABLED"):
        raise ServiceError("ValidationException", f"BackupPolicy.Status: {status} cannot be asked for")
    _change(cloud, request, Backup=status)
    return {"BackupPolicy": {"Status": status}}


@SERVICE.operation("DescribeBackupPolicy", on=on_file_system)
def describe_backup(cloud: Cloud, request: Document) -> Document:
    """Return whether AWS backs the files up."""
    return {"BackupPolicy": {"Status": file_system(cloud, request["FileSystemId"])["Backup"]}}


def _on(cloud: Cloud, request: Document) -> str:
    is_point = plain_id(request["ResourceId"]).startswith("fsap-")
    return (access_point_arn if is_point else file_system_arn)(cloud, request["ResourceId"])


def _find(cloud: Cloud, id: str) -> tuple[Table, str, Record]:
    if plain_id(id).startswith("fsap-"):
        return access_points(cloud), plain_id(id), access_point(cloud, id)
    return file_systems(cloud), plain_id(id), file_system(cloud, id)


@SERVICE.operation("TagResource", on=_on)
def tag(cloud: Cloud, request: Document) -> None:
    """Set tags."""
    table, id, _ = _find(cloud, request["ResourceId"])
    with table.lock:
        tags = {**_find(cloud, id)[2]["Tags"], **tags_of(request["Tags"])}
        if len(tags) > MOST_TAGS:
            raise ServiceError("BadRequest", f"a resource has at most {MOST_TAGS} tags")
        table.change(id, Tags=tags)


@SERVICE.operation("UntagResource", on=_on)
def untag(cloud: Cloud, request: Document) -> None:
    """Take tags away."""
    table, id, _ = _find(cloud, request["ResourceId"])
    with table.lock:
        gone, tags = request["TagKeys"], _find(cloud, id)[2]["Tags"]
        table.change(id, Tags={key: value for key, value in tags.items() if key not in gone})


@SERVICE.operation("ListTagsForResource", on=_on)
def tags(cloud: Cloud, request: Document) -> Document:
    """List tags."""
    _, _, record = _find(cloud, request["ResourceId"])
    listed, token = page(shown(record["Tags"]), request.get("NextToken"), request.get("MaxResults"))
    return {"Tags": listed, "NextToken": token}
