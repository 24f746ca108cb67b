"""ECS's services, as Application Auto Scaling sees them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.autoscaling.capacity import Capacity
from atelier.cloud.services.autoscaling.service import invalid
from atelier.cloud.services.ecs import scaling

ID = re.compile(r"service/([^/]+/[^/]+)")
PER_TARGET = "ALBRequestCountPerTarget"
OWN = {
    "ECSServiceAverageCPUUtilization": "CPUUtilization",
    "ECSServiceAverageMemoryUtilization": "MemoryUtilization",
}
LABEL = re.compile(r"(app/[^/]+/[0-9a-f]+)/(targetgroup/[^/]+/[0-9a-f]+)")


class Services:
    """Services, which have tasks."""

    namespace = "ecs"
    dimension = "ecs:service:DesiredCount"
    role = "ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService"
    unit = "task"
    metrics = frozenset({PER_TARGET, *OWN})

    def check(self, resource: str) -> None:
        """Raise ServiceError for an id that is none."""
        _key(resource)

    def is_there(self, cloud: Cloud, resource: str) -> bool:
        """Say whether there is such a service."""
        return scaling.find(cloud, _key(resource)) is not None

    def capacity(self, cloud: Cloud, resource: str) -> Capacity | None:
        """Return a service's tasks; it does not shrink while a deployment is under way."""
        record = scaling.find(cloud, _key(resource))
        if record is None:
            return None
        return Capacity(
            desired=record["desiredCount"],
            is_settled=scaling.is_full(record),
            may_shrink=not scaling.is_rolling(record),
        )

    def resize(self, cloud: Cloud, resource: str, count: int) -> None:
        """Give a service another number of tasks."""
        scaling.resize(cloud, _key(resource), count)

    def check_metric(self, metric: Mapping[str, Any]) -> None:
        """Raise ServiceError for requests per target of no target group."""
        kind, label = metric["PredefinedMetricType"], metric.get("ResourceLabel")
        if kind != PER_TARGET and label is not None:
            raise invalid(f"ResourceLabel is not for {kind}")
        if kind == PER_TARGET and not LABEL.fullmatch(label or ""):
            raise invalid(
                f"ResourceLabel of {kind} is app/<balancer>/<id>/targetgroup/<group>/<id>, and not {label}"
            )

    def watched(self, resource: str, metric: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an alarm on a predefined metric watches."""
        kind, match = metric["PredefinedMetricType"], LABEL.fullmatch(metric.get("ResourceLabel", ""))
        if kind == PER_TARGET and match is not None:
            return {
                "Namespace": "AWS/ApplicationELB",
                "MetricName": "RequestCountPerTarget",
                "Dimensions": [
                    {"Name": "LoadBalancer", "Value": match.group(1)},
                    {"Name": "TargetGroup", "Value": match.group(2)},
                ],
                "Statistic": "Sum",
            }
        cluster, _, name = _key(resource).partition("/")
        return {
            "Namespace": "AWS/ECS",
            "MetricName": OWN[kind],
            "Dimensions": [{"Name": "ClusterName", "Value": cluster}, {"Name": "ServiceName", "Value": name}],
            "Statistic": "Average",
        }


def _key(resource: str) -> str:
    match = ID.fullmatch(resource)
    if match is None:
        raise invalid(f"Unsupported resource ID {resource}: it is not service/<cluster>/<name>")
    return match.group(1)
