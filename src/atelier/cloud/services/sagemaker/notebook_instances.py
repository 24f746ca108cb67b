"""Notebook instances: recorded, with their states. Nothing is started for them: no Jupyter answers."""

from __future__ import annotations

from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.ec2.vpcs import network_of
from atelier.cloud.services.roles import pass_role
from atelier.cloud.services.sagemaker import live, notebook_scripts
from atelier.cloud.services.sagemaker.access import check
from atelier.cloud.services.sagemaker.listing import page, summary
from atelier.cloud.services.sagemaker.service import (
    PRINCIPAL,
    SERVICE,
    arn,
    invalid,
    notebook_instances,
    now,
    on,
    on_all,
    only,
)
from atelier.cloud.services.sagemaker.tags import tag, untag
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

KIND = "notebook-instance"
NAME = "NotebookInstanceName"
ON = on(KIND, NAME)
CONFIG = "NotebookInstanceLifecycleConfigName"
MOMENT = 0.2
"""Seconds that a change of state takes; on AWS it is minutes."""

SETTLED = {"Pending": "InService", "Stopping": "Stopped", "Updating": "Stopped", "Deleting": None}
"""What each passing state becomes; what is deleted becomes nothing."""

AT_REST = ("Stopped", "Failed")
PLATFORM = "notebook-al2-v3"
KEPT = (
    "InstanceType", "SubnetId", "RoleArn", "KmsKeyId", "DirectInternetAccess", "VolumeSizeInGB", "RootAccess",
    "PlatformIdentifier", "InstanceMetadataServiceConfiguration",
)  # fmt: skip
CHANGEABLE = (
    "InstanceType", "RoleArn", "VolumeSizeInGB", "RootAccess", "PlatformIdentifier",
    "InstanceMetadataServiceConfiguration",
)  # fmt: skip
SUMMARY = (
    NAME, "NotebookInstanceArn", "NotebookInstanceStatus", "InstanceType", "CreationTime", "LastModifiedTime",
    CONFIG,
)  # fmt: skip
OTHER_FILTERS = (
    "NotebookInstanceLifecycleConfigNameContains", "DefaultCodeRepositoryContains",
    "AdditionalCodeRepositoryEquals",
)  # fmt: skip


@SERVICE.operation("CreateNotebookInstance", on=ON)
def create(cloud: Cloud, request: Document) -> Document:
    """Record an instance; it is in service a moment later."""
    only("CreateNotebookInstance", request, NAME, *KEPT, "SecurityGroupIds", "LifecycleConfigName", "Tags")
    _check_network(cloud, request)
    _check_parts(cloud, request)
    name, time = request[NAME], now()
    instance_arn = arn(cloud, KIND, name)
    record = {
        **{"DirectInternetAccess": "Enabled", "RootAccess": "Enabled", "VolumeSizeInGB": 5},
        "PlatformIdentifier": PLATFORM,
        "InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": "1"},
        **{member: request[member] for member in KEPT if member in request},
        "SecurityGroups": request.get("SecurityGroupIds"),
        CONFIG: request.get("LifecycleConfigName"),
        NAME: name,
        "NotebookInstanceArn": instance_arn,
        "NotebookInstanceStatus": "Pending",
        "CreationTime": time,
        "LastModifiedTime": time,
    }
    with notebook_instances(cloud).lock:
        if name in notebook_instances(cloud):
            raise invalid(f"Cannot create a duplicate Notebook Instance ({instance_arn})")
        notebook_instances(cloud).put(name, record)
    tag(cloud, instance_arn, request.get("Tags", []))
    _spawn(cloud, name)
    return {"NotebookInstanceArn": instance_arn}


@SERVICE.operation("DescribeNotebookInstance", on=ON)
def describe(cloud: Cloud, request: Document) -> Document:
    """Return the instance; it has no URL, as nothing answers for it."""
    return find(cloud, request[NAME])


@SERVICE.operation("ListNotebookInstances", on=on_all(KIND))
def list_instances(cloud: Cloud, request: Document) -> Document:
    """List instances, newest first."""
    only("ListNotebookInstances", {key: request.get(key) for key in OTHER_FILTERS})
    rows, token = page(
        notebook_instances(cloud), request, what="NotebookInstance", status="NotebookInstanceStatus"
    )
    return {"NotebookInstances": [summary(row, SUMMARY) for row in rows], "NextToken": token}


@SERVICE.operation("UpdateNotebookInstance", on=ON)
def update(cloud: Cloud, request: Document) -> None:
    """Change an instance that is stopped."""
    members = (NAME, *CHANGEABLE, "LifecycleConfigName", "DisassociateLifecycleConfig")
    only("UpdateNotebookInstance", request, *members)
    find(cloud, request[NAME])
    _check_parts(cloud, request)
    values: dict[str, Any] = {member: request[member] for member in CHANGEABLE if member in request}
    if request.get("DisassociateLifecycleConfig"):
        values[CONFIG] = None
    elif "LifecycleConfigName" in request:
        values[CONFIG] = request["LifecycleConfigName"]
    _move(cloud, request[NAME], AT_REST, "Updating", **values)


@SERVICE.operation("StartNotebookInstance", on=ON)
def start(cloud: Cloud, request: Document) -> None:
    """Bring a stopped instance into service."""
    _move(cloud, request[NAME], AT_REST, "Pending")


@SERVICE.operation("StopNotebookInstance", on=ON)
def stop(cloud: Cloud, request: Document) -> None:
    """Stop an instance that is in service."""
    _move(cloud, request[NAME], ("InService",), "Stopping")


@SERVICE.operation("DeleteNotebookInstance", on=ON)
def delete(cloud: Cloud, request: Document) -> None:
    """Delete a stopped instance."""
    _move(cloud, request[NAME], AT_REST, "Deleting")


@SERVICE.operation("CreatePresignedNotebookInstanceUrl", on=ON)
def open_url(cloud: Cloud, request: Document) -> Document:
    """Refuse: a URL would lead nowhere."""
    find(cloud, request[NAME])
    raise invalid(
        f"Unsupported: the local cloud records notebook instances and runs no Jupyter for {request[NAME]};"
        " open the notebooks with a Jupyter of this machine, with AWS_ENDPOINT_URL in its environment"
    )


def find(cloud: Cloud, name: str) -> Record:
    """Return the instance's record, or answer as SageMaker does."""
    record = notebook_instances(cloud).get(name)
    if record is None:
        raise invalid("RecordNotFound")
    return record


def take_up(cloud: Cloud) -> None:
    """End the changes of state that a stop of the cloud interrupted."""
    for name, record in list(notebook_instances(cloud).items()):
        if record["NotebookInstanceStatus"] in SETTLED:
            _settle(cloud, name)


def _check_network(cloud: Cloud, request: Document) -> None:
    if "SubnetId" not in request:
        for member in ("SecurityGroupIds", "DirectInternetAccess"):
            if request.get(member) not in (None, [], "Enabled"):
                raise invalid(f"{member}={request[member]} needs a SubnetId")
        return
    if not request.get("SecurityGroupIds"):
        raise invalid("SecurityGroupIds is required with a SubnetId")
    try:
        network_of(cloud, [request["SubnetId"]], request["SecurityGroupIds"])
    except ServiceError as error:
        raise invalid(f"SubnetId: {error}") from error


def _check_parts(cloud: Cloud, request: Document) -> None:
    if "RoleArn" in request:
        pass_role(cloud, request["RoleArn"], PRINCIPAL)
        check(cloud, request["RoleArn"], request[NAME])
    if "LifecycleConfigName" in request:
        notebook_scripts.find(cloud, request["LifecycleConfigName"])


def _move(cloud: Cloud, name: str, origins: tuple[str, ...], status: str, **values: Any) -> None:
    with notebook_instances(cloud).lock:
        record = find(cloud, name)
        found = record["NotebookInstanceStatus"]
        if found not in origins:
            raise invalid(
                f"Status ({found}) not in ([{', '.join(origins)}]). Unable to transition to ({status}) for"
                f" Notebook Instance ({record['NotebookInstanceArn']})"
            )
        changed = {**values, "NotebookInstanceStatus": status, "LastModifiedTime": now()}
        notebook_instances(cloud).change(name, **changed)
    _spawn(cloud, name)


def _spawn(cloud: Cloud, name: str) -> None:
    live.of(cloud).keep(cloud.spawn(_pass, cloud, name))


def _pass(cloud: Cloud, name: str) -> None:
    if not live.of(cloud).ending.wait(MOMENT):  # the next start takes up what is left
        _settle(cloud, name)


def _settle(cloud: Cloud, name: str) -> None:
    with notebook_instances(cloud).lock:
        record = find(cloud, name)
        settled = SETTLED[record["NotebookInstanceStatus"]]
        if settled is not None:
            notebook_instances(cloud).change(name, NotebookInstanceStatus=settled, LastModifiedTime=now())
            return
        notebook_instances(cloud).delete(name)
    untag(cloud, record["NotebookInstanceArn"])
