"""Endpoints: the API."""

from __future__ import annotations

from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.sagemaker import deployment, live, quota
from atelier.cloud.services.sagemaker.listing import page, summary
from atelier.cloud.services.sagemaker.service import SERVICE, arn, endpoints, invalid, now, on, on_all, only
from atelier.cloud.services.sagemaker.tags import tag
from atelier.cloud.services.wire import Document
from atelier.cloud.store import Record

KIND = "endpoint"
ON = on(KIND, "EndpointName")
SETTLED = ("InService", "Failed")


def _on_both(cloud: Cloud, request: Document) -> list[str]:
    """Authorise on the endpoint and on the configuration that it is to have."""
    return [
        arn(cloud, KIND, request["EndpointName"]),
        arn(cloud, "endpoint-config", request["EndpointConfigName"]),
    ]


@SERVICE.operation("CreateEndpoint", on=_on_both)
def create(cloud: Cloud, request: Document) -> Document:
    """Create an endpoint; it comes into service in the background."""
    only("CreateEndpoint", request, "EndpointName", "EndpointConfigName", "Tags")
    name, time = request["EndpointName"], now()
    plan = deployment.plan(cloud, request["EndpointConfigName"])
    record = {
        "EndpointName": name,
        "EndpointArn": arn(cloud, KIND, name),
        "EndpointConfigName": request["EndpointConfigName"],
        "EndpointStatus": "Creating",
        "CreationTime": time,
        "LastModifiedTime": time,
        "pending": plan,
    }
    with endpoints(cloud).lock:
        if name in endpoints(cloud):
            raise invalid(f'Cannot create already existing endpoint "{record["EndpointArn"]}".')
        quota.check(cloud, name, plan, plan["InstanceCount"])
        endpoints(cloud).put(name, record)
    tag(cloud, record["EndpointArn"], request.get("Tags", []))
    deployment.publish(cloud, record)
    live.of(cloud).keep(cloud.spawn(deployment.create, cloud, name, plan))
    return {"EndpointArn": record["EndpointArn"]}


@SERVICE.operation("UpdateEndpoint", on=_on_both)
def update(cloud: Cloud, request: Document) -> Document:
    """Deploy another configuration beside the one that serves, and move the traffic when it is healthy."""
    only("UpdateEndpoint", request, "EndpointName", "EndpointConfigName")
    name = request["EndpointName"]
    plan = deployment.plan(cloud, request["EndpointConfigName"])
    with endpoints(cloud).lock:
        record = _settled(cloud, name)
        if record["EndpointStatus"] == "Failed":
            raise invalid(f'Cannot update a failed endpoint "{record["EndpointArn"]}"; delete it.')
        quota.check(cloud, name, plan, plan["InstanceCount"])
        plan["Started"] = now()
        record = deployment.note(cloud, name, EndpointStatus="Updating", FailureReason=None, pending=plan)
    deployment.publish(cloud, record)
    live.of(cloud).keep(cloud.spawn(deployment.update, cloud, name, plan))
    return {"EndpointArn": record["EndpointArn"]}


@SERVICE.operation("DeleteEndpoint", on=ON)
def delete(cloud: Cloud, request: Document) -> None:
    """Delete an endpoint: its requests are finished, its container is stopped."""
    name = request["EndpointName"]
    with endpoints(cloud).lock:
        _settled(cloud, name)
        record = deployment.note(cloud, name, EndpointStatus="Deleting")
    deployment.publish(cloud, record)
    live.of(cloud).keep(cloud.spawn(deployment.delete, cloud, name))


@SERVICE.operation("DescribeEndpoint", on=ON)
def describe(cloud: Cloud, request: Document) -> Document:
    """Return the endpoint, and the deployment that is on its way."""
    record = find(cloud, request["EndpointName"])
    current, pending = record.pop("deployment", None), record.pop("pending", None)
    if current is not None:
        fleet = live.of(cloud).fleets.get(request["EndpointName"])
        record["ProductionVariants"] = [_variant(current, 0 if fleet is None else fleet.size())]
        record["AsyncInferenceConfig"] = current.get("AsyncInferenceConfig")
    if pending is not None and record["EndpointStatus"] == "Updating":
        record["PendingDeploymentSummary"] = {
            "EndpointConfigName": pending["EndpointConfigName"],
            "ProductionVariants": [_variant(pending, 0)],
            "StartTime": pending["Started"],
        }
    return record


@SERVICE.operation("ListEndpoints", on=on_all(KIND))
def list_endpoints(cloud: Cloud, request: Document) -> Document:
    """List endpoints, newest first."""
    rows, token = page(endpoints(cloud), request, what="Endpoint", status="EndpointStatus")
    names = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
    return {"Endpoints": [summary(row, names) for row in rows], "NextToken": token}


def find(cloud: Cloud, name: str) -> Record:
    """Return the endpoint's record, or answer as SageMaker does."""
    record = endpoints(cloud).get(name)
    if record is None:
        raise invalid(f'Could not find endpoint "{arn(cloud, KIND, name)}".')
    return record


def _settled(cloud: Cloud, name: str) -> Record:
    record = find(cloud, name)
    if record["EndpointStatus"] not in SETTLED:
        raise invalid(f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')
    return record


def _variant(plan: dict[str, Any], instances: int) -> dict[str, Any]:
    weight = plan["Weight"]
    return {
        "VariantName": plan["VariantName"],
        "DeployedImages": [plan["Image"]],
        "CurrentWeight": weight,
        "DesiredWeight": weight,
        "CurrentInstanceCount": instances,
        "DesiredInstanceCount": plan.get("InstanceCount", 1),
    }
