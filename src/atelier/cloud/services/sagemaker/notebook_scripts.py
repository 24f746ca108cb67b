"""Lifecycle configurations of notebook instances: the scripts are checked, for nothing here runs them."""

from __future__ import annotations

import base64
import binascii
import subprocess
from pathlib import Path

from atelier.cloud.context import Cloud
from atelier.cloud.services.sagemaker.listing import page, summary
from atelier.cloud.services.sagemaker.service import (
    SERVICE,
    arn,
    invalid,
    lifecycle_configs,
    notebook_instances,
    now,
    on,
    on_all,
)
from atelier.cloud.services.sagemaker.tags import tag, untag
from atelier.cloud.services.wire import Document
from atelier.cloud.store import Record

KIND = "notebook-instance-lifecycle-config"
WHAT = "NotebookInstanceLifecycleConfig"
NAME, ARN = f"{WHAT}Name", f"{WHAT}Arn"
ON = on(KIND, NAME)
MOMENTS = ("OnCreate", "OnStart")
SHELLS = {"bash", "sh"}


@SERVICE.operation("CreateNotebookInstanceLifecycleConfig", on=ON)
def create(cloud: Cloud, request: Document) -> Document:
    """Keep the scripts of a configuration, once a shell can read them."""
    name = request[NAME]
    config_arn = arn(cloud, KIND, name)
    scripts = _checked(request)
    time = now()
    record = {NAME: name, ARN: config_arn, **scripts}
    with lifecycle_configs(cloud).lock:
        if name in lifecycle_configs(cloud):
            raise invalid(f"Unable to create Notebook Instance Lifecycle Config {config_arn}. It exists.")
        lifecycle_configs(cloud).put(name, {**record, "CreationTime": time, "LastModifiedTime": time})
    tag(cloud, config_arn, request.get("Tags", []))
    return {ARN: config_arn}


@SERVICE.operation("DescribeNotebookInstanceLifecycleConfig", on=ON)
def describe(cloud: Cloud, request: Document) -> Document:
    """Return the configuration with its scripts."""
    return find(cloud, request[NAME])


@SERVICE.operation("UpdateNotebookInstanceLifecycleConfig", on=ON)
def update(cloud: Cloud, request: Document) -> None:
    """Replace the scripts that are given; instances take them at their next start."""
    find(cloud, request[NAME])
    lifecycle_configs(cloud).change(request[NAME], **_checked(request), LastModifiedTime=now())


@SERVICE.operation("ListNotebookInstanceLifecycleConfigs", on=on_all(KIND))
def list_configs(cloud: Cloud, request: Document) -> Document:
    """List configurations, newest first."""
    rows, token = page(lifecycle_configs(cloud), request, what=WHAT)
    names = (NAME, ARN, "CreationTime", "LastModifiedTime")
    return {f"{WHAT}s": [summary(row, names) for row in rows], "NextToken": token}


@SERVICE.operation("DeleteNotebookInstanceLifecycleConfig", on=ON)
def delete(cloud: Cloud, request: Document) -> None:
    """Forget a configuration that no instance would start with."""
    record = find(cloud, request[NAME])
    users = [name for name, each in notebook_instances(cloud).items() if each.get(NAME) == request[NAME]]
    if users:
        raise invalid(f"{request[NAME]} is the lifecycle configuration of {', '.join(users)}")
    lifecycle_configs(cloud).delete(request[NAME])
    untag(cloud, record[ARN])


def find(cloud: Cloud, name: str) -> Record:
    """Return the configuration's record, or answer as SageMaker does."""
    record = lifecycle_configs(cloud).get(name)
    if record is None:
        raise invalid(f"Unable to find Notebook Instance Lifecycle Config {arn(cloud, KIND, name)}.")
    return record


def _checked(request: Document) -> dict[str, list[dict[str, str]]]:
    """Return the scripts that a request gives, by the moment at which they run."""
    given = {moment: request[moment] for moment in MOMENTS if moment in request}
    for moment, hooks in given.items():
        for each in hooks:
            _check(moment, each.get("Content", ""))
    return given


def _check(moment: str, content: str) -> None:
    """Refuse what an instance could not run: no base64, no text, or nothing that a shell can read."""
    try:
        script = base64.b64decode(content, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid(f"{moment}: Content is not a base64-encoded text") from error
    first = script.partition("\n")[0]
    if first.startswith("#!") and not SHELLS & {Path(word).name for word in first[2:].split()}:
        raise invalid(f"{moment}: {first} is no shell, and the local cloud can check shell scripts only")
    read = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    if read.returncode:
        raise invalid(f"{moment}: {read.stderr.strip()}")
