"""Access points: a user, and a directory that is the root to whoever comes in this way."""

from __future__ import annotations

from atelier.cloud.context import Cloud
from atelier.cloud.services.efs.service import (
    SERVICE,
    access_point,
    access_point_arn,
    access_points,
    file_system,
    new_id,
    on_access_point,
    on_file_system,
    page,
    plain_id,
    shown,
    tags_of,
)
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record


@SERVICE.operation("CreateAccessPoint", on=on_file_system)
def create(cloud: Cloud, request: Document) -> Document:
    """Make an access point; its directory comes to be when somebody first mounts it."""
    owner = file_system(cloud, request["FileSystemId"])["FileSystemId"]
    root = request.get("RootDirectory", {})
    if "Path" not in root and "CreationInfo" in root:
        raise ServiceError("BadRequest", "RootDirectory.CreationInfo needs a Path")
    token, id = request["ClientToken"], new_id("fsap")
    with access_points(cloud).lock:
        for _, each in access_points(cloud).items():
            if each["ClientToken"] == token:
                message = f"access point {each['AccessPointId']} was made with the client token {token}"
                raise ServiceError("AccessPointAlreadyExists", message, status=409)
        record = {
            "AccessPointId": id,
            "FileSystemId": owner,
            "ClientToken": token,
            "PosixUser": request.get("PosixUser"),
            "RootDirectory": {"Path": "/", **root},
            "Tags": tags_of(request.get("Tags", ())),
        }
        access_points(cloud).put(id, record)
    return described(cloud, record)


@SERVICE.operation("DescribeAccessPoints", on=on_access_point)
def describe(cloud: Cloud, request: Document) -> Document:
    """List access points: one, those of a file system, or all."""
    if "AccessPointId" in request and "FileSystemId" in request:
        raise ServiceError("BadRequest", "either AccessPointId or FileSystemId, not both")
    if "AccessPointId" in request:
        rows = [access_point(cloud, request["AccessPointId"])]
    else:
        rows = [each for _, each in access_points(cloud).items()]
    if "FileSystemId" in request:
        owner = file_system(cloud, request["FileSystemId"])["FileSystemId"]
        rows = [each for each in rows if each["FileSystemId"] == owner]
    listed, token = page(rows, request.get("NextToken"), request.get("MaxResults"))
    return {"AccessPoints": [described(cloud, each) for each in listed], "NextToken": token}


@SERVICE.operation("DeleteAccessPoint", on=on_access_point)
def delete(cloud: Cloud, request: Document) -> None:
    """Forget an access point; its directory stays."""
    access_point(cloud, request["AccessPointId"])
    access_points(cloud).delete(plain_id(request["AccessPointId"]))


def described(cloud: Cloud, record: Record) -> Document:
    """Return an access point as EFS describes it."""
    return {
        **{key: value for key, value in record.items() if key != "Tags"},
        "AccessPointArn": access_point_arn(cloud, record["AccessPointId"]),
        "OwnerId": cloud.account,
        "LifeCycleState": "available",
        "Name": record["Tags"].get("Name"),
        "Tags": shown(record["Tags"]),
    }
