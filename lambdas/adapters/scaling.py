"""The number of an endpoint's instances, by Application Auto Scaling.

Target tracking on the requests that wait per instance takes an asynchronous endpoint up, and down to none. It
cannot take it up again from there, for of no instances there is no average: an alarm on requests without any
instance does that, by one step.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from atelier.contract.keys import VARIANT
from atelier.lambdas.adapters import faults
from atelier.lambdas.adapters.fleet import refusals
from atelier.lambdas.domain.endpoints import Endpoint

NAMESPACE, DIMENSION = "sagemaker", "sagemaker:variant:DesiredInstanceCount"
METRICS = "AWS/SageMaker"

WAITING = 5.0
"""Requests that may wait for each instance: half a minute or so of pictures."""

A_MINUTE = 8.0
"""Requests a minute that a real-time instance answers with something to spare."""

COOLDOWN = 300
"""Seconds: a fresh instance needs about so long to take its share."""


class ApplicationScaling:
    """How endpoints grow and shrink."""

    def __init__(self, scaling: Any, cloudwatch: Any) -> None:
        self._scaling = scaling
        self._cloudwatch = cloudwatch

    def enable(self, endpoint: Endpoint) -> None:
        """Let an endpoint in service grow and shrink; once more is fine."""
        target = _target(endpoint.name)
        with refusals():
            self._scaling.register_scalable_target(
                **target, MinCapacity=endpoint.least, MaxCapacity=endpoint.most
            )
            self._scaling.put_scaling_policy(
                **target,
                PolicyName=f"{endpoint.name}-work",
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration=_tracking(endpoint),
            )
            if endpoint.least == 0:
                self._wake(endpoint.name)

    def _wake(self, name: str) -> None:
        """Take an endpoint from none to one instance when something waits."""
        policy = self._scaling.put_scaling_policy(
            **_target(name),
            PolicyName=f"{name}-wake",
            PolicyType="StepScaling",
            StepScalingPolicyConfiguration={
                "AdjustmentType": "ChangeInCapacity",
                "MetricAggregationType": "Average",
                "Cooldown": COOLDOWN,
                "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
            },
        )
        self._cloudwatch.put_metric_alarm(
            AlarmName=_alarm(name),
            AlarmDescription=f"Requests wait for {name}, which has no instance",
            Namespace=METRICS,
            MetricName="HasBacklogWithoutCapacity",
            Dimensions=_dimensions(name),
            Statistic="Average",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1.0,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData="missing",
            AlarmActions=[policy["PolicyARN"]],
        )

    def disable(self, name: str) -> None:
        """Let it be; none is fine. With the target go its policies."""
        with refusals():
            try:
                self._scaling.deregister_scalable_target(**_target(name))
            except ClientError as error:
                if "No scalable target" not in faults.text(error):
                    raise
            self._cloudwatch.delete_alarms(AlarmNames=[_alarm(name)])


def _target(name: str) -> dict[str, str]:
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": f"endpoint/{name}/variant/{VARIANT}",
        "ScalableDimension": DIMENSION,
    }


def _alarm(name: str) -> str:
    return f"{name}-wake"


def _dimensions(name: str) -> list[dict[str, str]]:
    return [{"Name": "EndpointName", "Value": name}]


def _tracking(endpoint: Endpoint) -> dict[str, Any]:
    cooldowns = {"ScaleInCooldown": COOLDOWN, "ScaleOutCooldown": COOLDOWN}
    if endpoint.kind == "Real-time":
        metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
        return {"TargetValue": A_MINUTE, "PredefinedMetricSpecification": metric, **cooldowns}
    backlog = {
        "Namespace": METRICS,
        "MetricName": "ApproximateBacklogSizePerInstance",
        "Dimensions": _dimensions(endpoint.name),
        "Statistic": "Average",
    }
    return {"TargetValue": WAITING, "CustomizedMetricSpecification": backlog, **cooldowns}
