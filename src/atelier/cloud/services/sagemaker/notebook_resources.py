"""The CloudFormation types of notebook instances and their lifecycle configurations."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.resources import Made, Request, ResourceType, from_cloudformation
from atelier.cloud.services.sagemaker import live
from atelier.cloud.services.sagemaker.notebook_instances import AT_REST, CHANGEABLE, CONFIG, NAME, SETTLED
from atelier.cloud.services.sagemaker.resources import call, generated, last
from atelier.cloud.services.sagemaker.service import SERVICE, lifecycle_configs, notebook_instances
from atelier.cloud.services.wire import Document

POLL = 0.05
STATUS = "NotebookInstanceStatus"
INSTANCE_PROPERTIES = frozenset(
    {NAME, "SubnetId", "SecurityGroupIds", "KmsKeyId", "DirectInternetAccess", "LifecycleConfigName", "Tags"}
    | set(CHANGEABLE)
)
CONFIG_PROPERTIES = frozenset({CONFIG, "OnCreate", "OnStart", "Tags"})


def _input(operation: str, request: Request, name_member: str) -> Document:
    shape = SERVICE.shapes.operation_model(operation).input_shape
    if shape is None:
        raise Refused(f"{operation} takes no input")
    document: Document = from_cloudformation(request.properties, shape, request.logical_id)
    document.setdefault(name_member, generated(request))
    if "LifecycleConfigName" in document:
        document["LifecycleConfigName"] = last(document["LifecycleConfigName"])
    return document


def _create_instance(cloud: Cloud, request: Request) -> Made:
    document = _input("CreateNotebookInstance", request, NAME)
    made = call(cloud, "CreateNotebookInstance", document)
    _settle(cloud, document[NAME])
    return Made(ref=made["NotebookInstanceArn"], attributes={NAME: document[NAME]})


def _update_instance(cloud: Cloud, reference: str, request: Request) -> Made:
    """Stop it, change it, start it; what cannot be changed makes another one, under another name."""
    document = _input("CreateNotebookInstance", request, NAME)
    name = last(reference)
    if not _is_in_place(notebook_instances(cloud).get(name) or {}, document):
        if request.properties.get(NAME) == name:
            raise Refused(
                f"CloudFormation cannot update {request.logical_id} in place, and it has a custom name:"
                f" rename {name} and update the stack again"
            )
        return _create_instance(cloud, request)
    _stop(cloud, name)
    changed = {member: document[member] for member in CHANGEABLE if member in document}
    config = document.get("LifecycleConfigName")
    changed |= {"LifecycleConfigName": config} if config else {"DisassociateLifecycleConfig": True}
    for operation, more in (("UpdateNotebookInstance", changed), ("StartNotebookInstance", {})):
        call(cloud, operation, {NAME: name, **more})
        _settle(cloud, name)
    return Made(ref=reference, attributes={NAME: name})


def _is_in_place(record: Mapping[str, Any], document: Document) -> bool:
    members = {
        "SubnetId": "SubnetId",
        "SecurityGroupIds": "SecurityGroups",
        "KmsKeyId": "KmsKeyId",
        "DirectInternetAccess": "DirectInternetAccess",
    }
    defaults = {"DirectInternetAccess": "Enabled"}
    return all(
        record.get(kept) == document.get(given, defaults.get(given)) for given, kept in members.items()
    )


def _delete_instance(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    name = last(reference)
    if name in notebook_instances(cloud):
        _stop(cloud, name)
        call(cloud, "DeleteNotebookInstance", {NAME: name})
        _settle(cloud, name)


def _stop(cloud: Cloud, name: str) -> None:
    _settle(cloud, name)
    if (notebook_instances(cloud).get(name) or {}).get(STATUS) not in AT_REST:
        call(cloud, "StopNotebookInstance", {NAME: name})
        _settle(cloud, name)


def _settle(cloud: Cloud, name: str) -> None:
    waiting = threading.Event()
    while (notebook_instances(cloud).get(name) or {}).get(STATUS) in SETTLED:
        if live.of(cloud).ending.is_set():
            raise Refused(f"the local cloud went down while notebook instance {name} was changing")
        waiting.wait(POLL)


def _create_config(cloud: Cloud, request: Request) -> Made:
    document = _input("CreateNotebookInstanceLifecycleConfig", request, CONFIG)
    made = call(cloud, "CreateNotebookInstanceLifecycleConfig", document)
    return Made(ref=made["NotebookInstanceLifecycleConfigArn"], attributes={CONFIG: document[CONFIG]})


def _update_config(cloud: Cloud, reference: str, request: Request) -> Made:
    name = last(reference)
    if request.properties.get(CONFIG, name) != name:
        return _create_config(cloud, request)
    document = _input("CreateNotebookInstanceLifecycleConfig", request, CONFIG)
    scripts = {moment: document.get(moment, []) for moment in ("OnCreate", "OnStart")}
    call(cloud, "UpdateNotebookInstanceLifecycleConfig", {CONFIG: name, **scripts})
    return Made(ref=reference, attributes={CONFIG: name})


def _delete_config(cloud: Cloud, reference: str, _properties: Mapping[str, Any]) -> None:
    if last(reference) in lifecycle_configs(cloud):
        call(cloud, "DeleteNotebookInstanceLifecycleConfig", {CONFIG: last(reference)})


NOTEBOOK_RESOURCES = (
    ResourceType(
        type="AWS::SageMaker::NotebookInstance",
        properties=INSTANCE_PROPERTIES,
        create=_create_instance,
        update=_update_instance,
        delete=_delete_instance,
    ),
    ResourceType(
        type="AWS::SageMaker::NotebookInstanceLifecycleConfig",
        properties=CONFIG_PROPERTIES,
        create=_create_config,
        update=_update_config,
        delete=_delete_config,
    ),
)
