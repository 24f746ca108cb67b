"""Instances after their launch: described, stopped, started, rebooted, terminated."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from atelier.cloud.context import Cloud
from atelier.cloud.services.ec2 import life
from atelier.cloud.services.ec2.service import (
    SERVICE,
    filtered,
    found,
    now,
    on_id,
    on_ids,
    page,
    unsupported,
)
from atelier.cloud.services.ec2.service import instances as table
from atelier.cloud.services.ec2.show import reservation, state
from atelier.cloud.services.wire import Document, ServiceError, everything
from atelier.cloud.store import Record

BY_USER = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
ASKED = ("InstanceIds", "Filters", "MaxResults", "NextToken")


@SERVICE.operation("DescribeInstances", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List instances, terminated ones too."""
    unsupported(request, ASKED, "DescribeInstances")
    rows = filtered(_found(cloud, request.get("InstanceIds")), request.get("Filters", ()), _values)
    shown, token = page(rows, request)
    return {"Reservations": [reservation(cloud, [each]) for each in shown], "NextToken": token}


@SERVICE.operation("DescribeInstanceStatus", on=everything)
def describe_status(cloud: Cloud, request: Document) -> Document:
    """List the states of instances that run, or of all."""
    unsupported(request, (*ASKED, "IncludeAllInstances"), "DescribeInstanceStatus")
    rows = filtered(_found(cloud, request.get("InstanceIds")), request.get("Filters", ()), _values)
    if not request.get("IncludeAllInstances"):
        rows = [each for each in rows if each["State"] == "running"]
    shown, token = page(rows, request)
    states = [{"InstanceId": each["InstanceId"], "InstanceState": state(each["State"])} for each in shown]
    return {"InstanceStatuses": states, "NextToken": token}


@SERVICE.operation("GetConsoleOutput", on=on_id("InstanceId"))
def console(cloud: Cloud, request: Document) -> Document:
    """Return the last of what an instance wrote to its console."""
    unsupported(request, ("InstanceId", "Latest"), "GetConsoleOutput")
    record = _found(cloud, [request["InstanceId"]])[0]
    said = life.of(cloud).console(record["InstanceId"])
    output = base64.b64encode(said.encode()).decode()
    return {"InstanceId": record["InstanceId"], "Output": output, "Timestamp": now()}


@SERVICE.operation("StopInstances", on=on_ids("InstanceIds"))
def stop(cloud: Cloud, request: Document) -> Document:
    """Stop instances; their volumes stay."""
    unsupported(request, ("InstanceIds", "Force"), "StopInstances")
    with life.of(cloud).changing:
        records = _found(cloud, request["InstanceIds"])
        for each in records:
            _refuse(each, ("pending", "shutting-down", "terminated"))
            if each["Lifecycle"] == "spot":
                raise ServiceError(
                    "UnsupportedOperation", f"{each['InstanceId']} is a one-time spot instance"
                )
        return {"StoppingInstances": _move(cloud, records, "stopped", "running")}


@SERVICE.operation("TerminateInstances", on=on_ids("InstanceIds"))
def terminate(cloud: Cloud, request: Document) -> Document:
    """End instances for good, and the volumes that end with them."""
    unsupported(request, ("InstanceIds",), "TerminateInstances")
    with life.of(cloud).changing:
        records = _found(cloud, request["InstanceIds"])
        moved = _move(cloud, records, "terminated", "pending", "running", "stopped", "stopping")
        return {"TerminatingInstances": moved}


@SERVICE.operation("StartInstances", on=on_ids("InstanceIds"))
def start(cloud: Cloud, request: Document) -> Document:
    """Start instances that are stopped."""
    unsupported(request, ("InstanceIds",), "StartInstances")
    life.engine(cloud)
    with life.of(cloud).changing:
        records = _found(cloud, request["InstanceIds"])
        for each in records:
            _refuse(each, ("stopping", "shutting-down", "terminated"))
        for each in records:
            if each["State"] == "stopped":
                life.of(cloud).change(each["InstanceId"], State="pending", Reason=None, LaunchTime=now())
    for each in records:
        if each["State"] == "stopped":
            life.of(cloud).boot(each["InstanceId"])
    return {"StartingInstances": [_moved(cloud, each) for each in records]}


@SERVICE.operation("RebootInstances", on=on_ids("InstanceIds"))
def reboot(cloud: Cloud, request: Document) -> None:
    """Boot instances again."""
    unsupported(request, ("InstanceIds",), "RebootInstances")
    records = _found(cloud, request["InstanceIds"])
    for each in records:
        _refuse(each, ("pending", "stopping", "stopped", "shutting-down", "terminated"))
    for each in records:
        life.of(cloud).reboot(each["InstanceId"])


def _found(cloud: Cloud, ids: list[str] | None) -> list[Record]:
    return found(table(cloud), ids, "InvalidInstanceID.NotFound", "instance")


def _refuse(record: Record, states: Iterable[str]) -> None:
    if record["State"] in states:
        raise ServiceError(
            "IncorrectInstanceState",
            f"The instance '{record['InstanceId']}' is not in a state from which it can be changed so"
            f" ({record['State']})",
        )


def _move(cloud: Cloud, records: list[Record], to: str, *states: str) -> list[Document]:
    """Begin to bring the instances that are in one of *states* to another; return what changes."""
    for each in records:
        if each["State"] in states:
            life.of(cloud).shut_down(each["InstanceId"], to, BY_USER)
    return [_moved(cloud, each) for each in records]


def _moved(cloud: Cloud, before: Record) -> Document:
    now_is = (table(cloud).get(before["InstanceId"]) or before)["State"]
    return {
        "InstanceId": before["InstanceId"],
        "CurrentState": state(now_is),
        "PreviousState": state(before["State"]),
    }


def _values(record: Record, name: str) -> Iterable[str] | None:
    has = {
        "instance-id": record["InstanceId"],
        "instance-state-name": record["State"],
        "instance-type": record["InstanceType"],
        "private-ip-address": record["Address"],
        "client-token": record["ClientToken"],
    }
    return [has[name]] if name in has else None
