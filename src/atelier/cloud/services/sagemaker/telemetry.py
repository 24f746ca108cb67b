"""What SageMaker itself tells CloudWatch of endpoints: backlogs and invocations, every few seconds."""

from __future__ import annotations

import logging
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.sagemaker.live import Live
from atelier.cloud.services.sagemaker.service import endpoints

NAMESPACE = "AWS/SageMaker"

logger = logging.getLogger(__name__)


def report(cloud: Cloud, state: Live) -> None:
    """Report until the cloud goes down."""
    while not state.ending.wait(state.settings.metrics_interval):
        for name, record in endpoints(cloud).items():
            plan = record.get("deployment")
            if plan is None or record["EndpointStatus"] == "Failed":
                continue
            try:
                _report(cloud, state, name, plan)
            except Exception:  # a thread that ends would end the metrics for good
                logger.exception("the metrics of endpoint %s are incomplete", name)


def _report(cloud: Cloud, state: Live, name: str, plan: dict[str, Any]) -> None:
    fleet = state.fleets.get(name)
    instances = 0 if fleet is None else fleet.size()
    if "AsyncInferenceConfig" in plan:
        backlog = state.backlogs.get(name)
        _report_backlog(cloud, name, 0 if backlog is None else backlog.size(), instances)
    count = state.invocations.pop(name, 0)
    variant = {"EndpointName": name, "VariantName": plan["VariantName"]}
    cloud.metrics.put(NAMESPACE, "Invocations", count, variant)
    cloud.metrics.put(NAMESPACE, "InvocationsPerInstance", count / max(instances, 1), variant)


def _report_backlog(cloud: Cloud, name: str, size: int, instances: int) -> None:
    """Report a backlog; per instance, it is the whole of it while there is none, as on AWS."""
    values: dict[str, float] = {
        "ApproximateBacklogSize": size,
        "HasBacklogWithoutCapacity": int(size > 0 and not instances),
    }
    if size or instances:
        values["ApproximateBacklogSizePerInstance"] = size / max(instances, 1)
    for metric, value in values.items():
        cloud.metrics.put(NAMESPACE, metric, value, {"EndpointName": name})
