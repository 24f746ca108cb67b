"""The variants of SageMaker's endpoints, as Application Auto Scaling sees them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.autoscaling.capacity import Capacity
from atelier.cloud.services.autoscaling.service import invalid
from atelier.cloud.services.sagemaker import scaling

ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
ID = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")


class Variants:
    """Endpoints' variants, which have instances."""

    namespace = "sagemaker"
    dimension = "sagemaker:variant:DesiredInstanceCount"
    role = f"sagemaker.application-autoscaling.amazonaws.com/{ROLE}"
    unit = "instance"
    metrics = frozenset({"SageMakerVariantInvocationsPerInstance"})

    def check(self, resource: str) -> None:
        """Raise ServiceError for an id that is none."""
        _named(resource)

    def is_there(self, cloud: Cloud, resource: str) -> bool:
        """Say whether there is such an endpoint."""
        return scaling.is_there(cloud, _named(resource)[0])

    def capacity(self, cloud: Cloud, resource: str) -> Capacity | None:
        """Return a variant's instances; only an asynchronous endpoint can have none."""
        found = scaling.capacity(cloud, *_named(resource))
        if found is None:
            return None
        least = 0 if found.is_asynchronous else 1
        return Capacity(desired=found.desired, is_settled=found.is_settled, least=least)

    def resize(self, cloud: Cloud, resource: str, count: int) -> None:
        """Give a variant another number of instances."""
        scaling.resize(cloud, *_named(resource), count)

    def check_metric(self, metric: Mapping[str, Any]) -> None:
        """Raise ServiceError for a label, which is for load balancers' metrics."""
        if "ResourceLabel" in metric:
            raise invalid(f"ResourceLabel is not for {metric['PredefinedMetricType']}")

    def watched(self, resource: str, metric: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an alarm on a predefined metric watches."""
        endpoint, name = _named(resource)
        return {
            "Namespace": "AWS/SageMaker",
            "MetricName": metric["PredefinedMetricType"].removeprefix("SageMakerVariant"),
            "Dimensions": [
                {"Name": "EndpointName", "Value": endpoint},
                {"Name": "VariantName", "Value": name},
            ],
            "Statistic": "Sum",
        }


def _named(resource: str) -> tuple[str, str]:
    match = ID.fullmatch(resource)
    if match is None:
        raise invalid(f"Unsupported resource ID {resource}: it is not endpoint/<name>/variant/<name>")
    return match.group(1), match.group(2)
