"""Volumes: the disks of instances, which may outlive them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.ec2.service import (
    SERVICE,
    filtered,
    found,
    new_id,
    now,
    on_id,
    page,
    tags_of,
    unsupported,
    volumes,
    zone,
)
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

ROOT = "/dev/xvda"
KNOWN = {"VolumeSize", "VolumeType", "Encrypted", "DeleteOnTermination", "Iops", "Throughput"}
LARGEST = 65_536


@SERVICE.operation("DescribeVolumes", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List volumes."""
    unsupported(request, ("VolumeIds", "Filters", "MaxResults", "NextToken"), "DescribeVolumes")
    rows = found(volumes(cloud), request.get("VolumeIds"), "InvalidVolume.NotFound", "volume")
    shown, token = page(filtered(rows, request.get("Filters", ()), _values), request)
    return {"Volumes": [_shown(cloud, each) for each in shown], "NextToken": token}


@SERVICE.operation("DeleteVolume", on=on_id("VolumeId"))
def delete(cloud: Cloud, request: Document) -> None:
    """Delete a volume that no instance has."""
    unsupported(request, ("VolumeId",), "DeleteVolume")
    record = found(volumes(cloud), [request["VolumeId"]], "InvalidVolume.NotFound", "volume")[0]
    if record["Instance"]:
        raise ServiceError(
            "VolumeInUse", f"Volume {record['VolumeId']} is currently attached to {record['Instance']}"
        )
    forget(cloud, record["VolumeId"])


def _values(record: Record, name: str) -> Iterable[str] | None:
    has = {
        "volume-id": record["VolumeId"],
        "status": _state(record),
        "attachment.instance-id": record["Instance"] or "",
    }
    return [has[name]] if name in has else None


def _state(record: Record) -> str:
    return "in-use" if record["Instance"] else "available"


def _shown(cloud: Cloud, record: Record) -> Document:
    attached = {
        "InstanceId": record["Instance"],
        "VolumeId": record["VolumeId"],
        "Device": record["Device"],
        "State": "attached",
        "DeleteOnTermination": record["DeleteOnTermination"],
    }
    return {
        "VolumeId": record["VolumeId"],
        "Size": record["Size"],
        "VolumeType": record["VolumeType"],
        "Encrypted": record["Encrypted"],
        "State": _state(record),
        "AvailabilityZone": zone(cloud),
        "CreateTime": record["CreateTime"],
        "Attachments": [attached] if record["Instance"] else [],
        "Tags": tags_of(record),
    }


def planned(mappings: Iterable[Document]) -> list[Record]:
    """Return the volumes that an instance is to have; raise ServiceError for what cannot be here."""
    wanted = {ROOT: {"VolumeSize": 8, "DeleteOnTermination": True}}
    for each in mappings:
        unsupported(each, ("DeviceName", "Ebs"), "BlockDeviceMapping")
        unsupported(each.get("Ebs", {}), KNOWN, "BlockDeviceMapping.Ebs")
        name = each.get("DeviceName", "")
        wanted[name] = {**wanted.get(name, {"DeleteOnTermination": False}), **each.get("Ebs", {})}
    if len(wanted) > 2:
        raise ServiceError(
            "UnsupportedOperation", "the local cloud's instances have one volume beside their root's"
        )
    return [_plan(device, ebs) for device, ebs in wanted.items()]


def _plan(device: str, ebs: dict[str, Any]) -> Record:
    size = ebs.get("VolumeSize", 0)
    if not 0 < size <= LARGEST:
        raise ServiceError("InvalidParameterValue", f"Volume of {size}GiB is not between 1 and {LARGEST}GiB")
    return {
        "VolumeId": new_id("vol"),
        "Device": device,
        "Size": size,
        "VolumeType": ebs.get("VolumeType", "gp3"),
        "Encrypted": ebs.get("Encrypted", False),
        "DeleteOnTermination": ebs["DeleteOnTermination"],
        "CreateTime": now(),
        "Instance": None,
        "Tags": {},
    }


def release(cloud: Cloud, instance: str) -> None:
    """Take an instance's volumes from it; those that end with it are deleted."""
    for id, record in volumes(cloud).items():
        if record["Instance"] == instance:
            volumes(cloud).change(id, Instance=None)
            if record["DeleteOnTermination"]:
                forget(cloud, id)


def of_instance(cloud: Cloud, instance: str) -> list[Record]:
    """Return the volumes that an instance has."""
    return [each for _, each in volumes(cloud).items() if each["Instance"] == instance]


def forget(cloud: Cloud, id: str) -> None:
    """Remove a volume with what is on it."""
    if cloud.engine.machines is not None:
        cloud.engine.machines.remove_disk(id)
    volumes(cloud).delete(id)
