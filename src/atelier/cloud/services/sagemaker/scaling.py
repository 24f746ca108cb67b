"""How many instances an endpoint has: asked for by an operation, or by Application Auto Scaling."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.sagemaker import deployment, live, quota
from atelier.cloud.services.sagemaker.endpoints import KIND, ON, find
from atelier.cloud.services.sagemaker.service import SERVICE, endpoints, invalid, now, only, shorten
from atelier.cloud.services.wire import Document
from atelier.cloud.store import Record

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What Application Auto Scaling must know of a variant."""

    current: int
    desired: int
    is_settled: bool
    is_asynchronous: bool


@SERVICE.operation("UpdateEndpointWeightsAndCapacities", on=ON)
def update(cloud: Cloud, request: Document) -> Document:
    """Give an endpoint another number of instances; they come and go in the background."""
    name = request["EndpointName"]
    changes = request["DesiredWeightsAndCapacities"]
    if len(changes) != 1:
        raise Refused(f"Unsupported: {len(changes)} variants of one {KIND} are not part of the local cloud")
    only("DesiredWeightsAndCapacities", changes[0], "VariantName", "DesiredInstanceCount", "DesiredWeight")
    record = find(cloud, name)
    count = changes[0].get("DesiredInstanceCount", _count(record))
    resize(cloud, name, changes[0]["VariantName"], count, weight=changes[0].get("DesiredWeight"))
    return {"EndpointArn": record["EndpointArn"]}


def is_there(cloud: Cloud, name: str) -> bool:
    """Say whether there is such an endpoint, whatever its status."""
    return name in endpoints(cloud)


def capacity(cloud: Cloud, name: str, variant: str) -> Capacity | None:
    """Return a variant's capacity, or None when there is no such endpoint or variant."""
    record = endpoints(cloud).get(name)
    plan = (record or {}).get("deployment") or (record or {}).get("pending")
    if record is None or plan is None or plan["VariantName"] != variant:
        return None
    fleet = live.of(cloud).fleets.get(name)
    return Capacity(
        current=0 if fleet is None else fleet.size(),
        desired=plan.get("InstanceCount", 1),
        is_settled=record["EndpointStatus"] == "InService" and fleet is not None,
        is_asynchronous="AsyncInferenceConfig" in plan,
    )


def resize(cloud: Cloud, name: str, variant: str, count: int, *, weight: float | None = None) -> None:
    """Bring a variant to *count* instances in the background; raise ServiceError when that cannot be."""
    with endpoints(cloud).lock:
        record = _ready(cloud, name, variant)
        plan = record["deployment"]
        if count < 1 and "AsyncInferenceConfig" not in plan:
            raise invalid(f"DesiredInstanceCount of {variant}: only an asynchronous endpoint can have none")
        quota.check(cloud, name, plan, count)
        before, plan["InstanceCount"] = plan.get("InstanceCount", 1), count
        plan["Weight"] = plan["Weight"] if weight is None else weight
        record = endpoints(cloud).change(
            name, EndpointStatus="Updating", FailureReason=None, deployment=plan, LastModifiedTime=now()
        )
    deployment.publish(cloud, record)
    state = live.of(cloud)
    state.keep(cloud.spawn(_resize, cloud, state, name, count, before))


def _ready(cloud: Cloud, name: str, variant: str) -> Record:
    record = find(cloud, name)
    if record["EndpointStatus"] != "InService" or name not in live.of(cloud).fleets:
        raise invalid(f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')
    if record["deployment"]["VariantName"] != variant:
        raise invalid(f'Variant "{variant}" of endpoint "{record["EndpointArn"]}" does not exist.')
    return record


def _count(record: Record) -> int:
    return int((record.get("deployment") or {}).get("InstanceCount", 1))


def _resize(cloud: Cloud, state: live.Live, name: str, count: int, before: int) -> None:
    fleet, reason = state.fleets.get(name), None
    try:
        if fleet is not None:
            fleet.resize(count)
    except deployment.PROBLEMS as error:
        reason = str(error)
    except Exception:  # the edge: no endpoint stays in between; the text of the unexpected stays here
        logger.exception("endpoint %s could not be scaled", name)
        reason = "InternalServerError: the local cloud failed; see `atelier logs`"
    if state.ending.is_set():
        return  # the next start brings the endpoint to what is wanted
    with endpoints(cloud).lock:
        plan = (endpoints(cloud).get(name) or {}).get("deployment")
        if plan is None:
            return
        if reason is not None:
            plan["InstanceCount"] = before if fleet is None else fleet.size()
        values = {"FailureReason": None if reason is None else shorten(reason), "deployment": plan}
        record = endpoints(cloud).change(name, EndpointStatus="InService", LastModifiedTime=now(), **values)
    deployment.publish(cloud, record)
