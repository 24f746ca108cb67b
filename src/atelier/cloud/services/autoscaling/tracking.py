"""Target tracking: the capacity at which a metric would be what it should be, and its two alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.autoscaling.scalables import of
from atelier.cloud.services.autoscaling.service import invalid
from atelier.cloud.store import Record

Configuration = Mapping[str, Any]
CONFIGURATION = "TargetTrackingScalingPolicyConfiguration"
COOLDOWN = 300
PERIOD = 60
HIGH_PERIODS = 3
LOW_PERIODS = 15
LOW_SHARE = 0.9
"""What AWS gives the alarms: three minutes above the target, a quarter of an hour below nine tenths of it."""

METRIC = frozenset({"MetricName", "Namespace", "Dimensions", "Statistic", "Unit"})


def check(configuration: Configuration) -> None:
    """Refuse a policy that tracks no metric, or in a way that is not part of the local cloud."""
    custom = configuration.get("CustomizedMetricSpecification")
    predefined = configuration.get("PredefinedMetricSpecification")
    if (custom is None) == (predefined is None):
        raise invalid("Give a CustomizedMetricSpecification or a PredefinedMetricSpecification")
    if configuration["TargetValue"] <= 0:
        raise invalid("TargetValue must be greater than 0")
    if custom is not None:
        _check_custom(custom)


def _check_custom(metric: Mapping[str, Any]) -> None:
    if unknown := sorted(metric.keys() - METRIC):
        raise Refused(
            f"Unsupported: CustomizedMetricSpecification.{unknown[0]} is not part of the local cloud"
        )
    if missing := [name for name in ("MetricName", "Namespace", "Statistic") if name not in metric]:
        raise invalid(f"CustomizedMetricSpecification.{missing[0]} is required")


def wish(configuration: Configuration, value: float, current: int) -> int:
    """Return the capacity at which the metric, shared by all instances, would meet its target."""
    target: float = configuration["TargetValue"]
    return math.ceil(max(current, 1) * value / target)


def cooldown(configuration: Configuration, *, is_out: bool) -> float:
    """Return the seconds for which a change lasts before the next one in its direction."""
    return float(configuration.get("ScaleOutCooldown" if is_out else "ScaleInCooldown", COOLDOWN))


def names(policy: Record) -> tuple[str, str]:
    """Return the names of the policy's alarms: for a metric too high, and too low."""
    key = policy["PolicyARN"].split(":")[6]
    high, low = (f"TargetTracking-{policy['ResourceId']}-Alarm{each}-{key}" for each in ("High", "Low"))
    return high, low


def alarms(cloud: Cloud, policy: Record) -> list[dict[str, Any]]:
    """Return the alarms that drive the policy."""
    target = policy[CONFIGURATION]["TargetValue"]
    high, low = names(policy)
    found = [_alarm(cloud, policy, high, HIGH_PERIODS, "GreaterThanThreshold", target)]
    if not policy[CONFIGURATION].get("DisableScaleIn"):
        found.append(_alarm(cloud, policy, low, LOW_PERIODS, "LessThanThreshold", target * LOW_SHARE))
    return found


def _alarm(
    cloud: Cloud, policy: Record, name: str, periods: int, comparison: str, threshold: float
) -> dict[str, Any]:
    return {
        "AlarmName": name,
        "AlarmArn": cloud.arn("cloudwatch", f"alarm:{name}"),
        "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy['PolicyARN']}.",
        **_metric(policy),
        "ExtendedStatistic": None,
        "Period": PERIOD,
        "EvaluationPeriods": periods,
        "Threshold": threshold,
        "ComparisonOperator": comparison,
        "TreatMissingData": "missing",
        "ActionsEnabled": True,
        "AlarmActions": [policy["PolicyARN"]],
        "OKActions": [],
        "InsufficientDataActions": [],
    }


def _metric(policy: Record) -> dict[str, Any]:
    custom = policy[CONFIGURATION].get("CustomizedMetricSpecification")
    if custom is not None:
        return {"Dimensions": [], "Unit": None, **custom}
    predefined = policy[CONFIGURATION]["PredefinedMetricSpecification"]
    return {**of(policy).watched(policy["ResourceId"], predefined), "Unit": None}
