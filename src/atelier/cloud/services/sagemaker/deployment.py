"""From an endpoint configuration to a healthy fleet, and the endpoint's status on the way."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.sagemaker import backlogs, live
from atelier.cloud.services.sagemaker.access import Access, RoleError
from atelier.cloud.services.sagemaker.fleet import Fleet, Unhealthy, home, remove
from atelier.cloud.services.sagemaker.images import ImageError, resolve
from atelier.cloud.services.sagemaker.models import find_config, find_model
from atelier.cloud.services.sagemaker.service import endpoints, now, plain, shorten
from atelier.cloud.services.sagemaker.storage import StorageError
from atelier.cloud.services.sagemaker.tags import untag
from atelier.cloud.store import Record

PROBLEMS = (Unhealthy, RoleError, ImageError, StorageError, Refused)
STATUS_WORDS = {
    "Creating": "CREATING", "Updating": "UPDATING", "SystemUpdating": "SYSTEM_UPDATING",
    "RollingBack": "ROLLING_BACK", "InService": "IN_SERVICE", "Deleting": "DELETING",
    "Failed": "FAILED",
}  # fmt: skip

logger = logging.getLogger(__name__)


def plan(cloud: Cloud, config_name: str) -> dict[str, Any]:
    """Return the deployment that a configuration means now: later changes of its model do not touch it."""
    config = find_config(cloud, config_name)
    variant = config["ProductionVariants"][0]
    model = find_model(cloud, variant["ModelName"])
    container = model["PrimaryContainer"]
    deployment = {
        "Id": f"i-{secrets.token_hex(8)}",
        "EndpointConfigName": config_name,
        "VariantName": variant["VariantName"],
        "Weight": variant["InitialVariantWeight"],
        "InstanceType": variant["InstanceType"],
        "InstanceCount": variant["InitialInstanceCount"],
        "ExecutionRoleArn": model["ExecutionRoleArn"],
        "Image": {"SpecifiedImage": container["Image"]},
        "ModelDataUrl": container.get("ModelDataUrl"),
        "Environment": container.get("Environment", {}),
        "EnableNetworkIsolation": model["EnableNetworkIsolation"],
    }
    if timeout := variant.get("ContainerStartupHealthCheckTimeoutInSeconds"):
        deployment["StartupTimeout"] = timeout
    if asynchronous := config.get("AsyncInferenceConfig"):
        deployment["AsyncInferenceConfig"] = asynchronous
    return deployment


def create(cloud: Cloud, name: str, deployment: dict[str, Any]) -> None:
    """Bring a new endpoint into service, or to Failed."""
    fleet = _started(cloud, name, deployment)
    if isinstance(fleet, Fleet):
        _serve(cloud, name, fleet, deployment)
    else:
        change(cloud, name, EndpointStatus="Failed", FailureReason=fleet)


def update(cloud: Cloud, name: str, deployment: dict[str, Any]) -> None:
    """Move an endpoint to a new fleet once that is healthy; else the old one goes on serving."""
    old = live.of(cloud).fleets.get(name)
    fleet = _started(cloud, name, deployment)
    if isinstance(fleet, Fleet):
        _serve(cloud, name, fleet, deployment)
        if old is not None:
            old.close(drain=old.patience())
    else:
        change(cloud, name, EndpointStatus="RollingBack", FailureReason=fleet)
        change(cloud, name, EndpointStatus="InService" if old is not None else "Failed", pending=None)


def restore(cloud: Cloud, name: str, deployment: dict[str, Any]) -> None:
    """Start an endpoint's fleet again after the cloud was down; what an update left behind is removed."""
    for folder in home(cloud, name).iterdir() if home(cloud, name).exists() else []:
        if folder.name != deployment["Id"]:
            remove(folder)
    fleet = _started(cloud, name, deployment, keep=True)
    if isinstance(fleet, Fleet):
        record = endpoints(cloud).get(name) or {}
        _serve(cloud, name, fleet, deployment, record.get("FailureReason"))
    else:
        change(cloud, name, EndpointStatus="Failed", FailureReason=fleet)


def delete(cloud: Cloud, name: str) -> None:
    """Drain and forget an endpoint."""
    fleet = live.of(cloud).fleets.pop(name, None)
    backlogs.drop(cloud, name)
    if fleet is not None:
        fleet.close()
    remove(home(cloud, name))
    record = endpoints(cloud).get(name)
    endpoints(cloud).delete(name)
    if record is not None:
        untag(cloud, record["EndpointArn"])


def change(cloud: Cloud, name: str, **values: Any) -> Record:
    """Set members of an endpoint's record and say so on the event bus."""
    record = note(cloud, name, **values)
    publish(cloud, record)
    return record


def note(cloud: Cloud, name: str, **values: Any) -> Record:
    """Set members of an endpoint's record; the event is published when no lock is held any more."""
    if values.get("FailureReason"):
        values["FailureReason"] = shorten(values["FailureReason"])
    return endpoints(cloud).change(name, LastModifiedTime=now(), **values)


def publish(cloud: Cloud, record: Record) -> None:
    """Send the endpoint's state to the default event bus, in the words that AWS uses there."""
    names = ("EndpointName", "EndpointArn", "EndpointConfigName", "CreationTime", "LastModifiedTime")
    detail = plain({name: record[name] for name in names})
    detail["EndpointStatus"] = STATUS_WORDS[record["EndpointStatus"]]
    if record.get("FailureReason"):
        detail["FailureReason"] = record["FailureReason"]
    cloud.events.publish("aws.sagemaker", "SageMaker Endpoint State Change", detail, [record["EndpointArn"]])


def _serve(
    cloud: Cloud, name: str, fleet: Fleet, deployment: dict[str, Any], reason: str | None = None
) -> None:
    """Send the endpoint's traffic to *fleet*: one assignment, so that no request sees neither."""
    live.of(cloud).fleets[name] = fleet
    change(
        cloud,
        name,
        EndpointStatus="InService",
        EndpointConfigName=deployment["EndpointConfigName"],
        deployment=deployment,
        pending=None,
        FailureReason=reason,
    )


def _started(cloud: Cloud, name: str, deployment: dict[str, Any], *, keep: bool = False) -> Fleet | str:
    """Return a healthy fleet, or why there is none."""
    fleet: Fleet | None = None
    try:
        if "ResolvedImage" not in deployment["Image"]:
            _resolve(cloud, name, deployment)
        settings = live.of(cloud).settings
        fleet = Fleet(cloud, settings, name, deployment)
        live.of(cloud).opening[name] = fleet
        fleet.open()
    except PROBLEMS as error:
        reason = str(error)
    except Exception:  # the edge: no endpoint stays in between; the text of the unexpected stays here
        logger.exception("endpoint %s broke", name)
        reason = "InternalServerError: the local cloud failed; see `atelier logs`"
    else:
        return fleet
    finally:
        live.of(cloud).opening.pop(name, None)
    if fleet is not None:
        fleet.close(keep=keep)
    return reason


def _resolve(cloud: Cloud, name: str, deployment: dict[str, Any]) -> None:
    access = Access(cloud, deployment["ExecutionRoleArn"], name)
    with access.client("ecr") as ecr:
        image = resolve(ecr, deployment["Image"]["SpecifiedImage"])
    cloud.engine.pull(image.resolved, access.login, check=lambda: _check(cloud))
    deployment["Image"] |= {"ResolvedImage": image.resolved, "ResolutionTime": now()}


def _check(cloud: Cloud) -> None:
    if live.of(cloud).ending.is_set():
        raise Unhealthy("the local cloud was stopped during the deployment")
