"""Step scaling: by how much a breach of an alarm's threshold changes the capacity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from atelier.cloud.services.autoscaling.service import invalid

Configuration = Mapping[str, Any]
LOWER, UPPER = "MetricIntervalLowerBound", "MetricIntervalUpperBound"
COOLDOWN = 300
AGGREGATIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Average": lambda points: sum(points) / len(points),
    "Minimum": min,
    "Maximum": max,
}


def check(configuration: Configuration) -> None:
    """Refuse steps that do not follow each other without gaps."""
    if "AdjustmentType" not in configuration or not configuration.get("StepAdjustments"):
        raise invalid("A step scaling policy needs an AdjustmentType and StepAdjustments")
    steps = sorted((_bounds(each) for each in configuration["StepAdjustments"]), key=lambda step: step[0])
    for lower, upper in steps:
        if lower >= upper:
            raise invalid(f"StepAdjustments: the lower bound {lower} is not below the upper bound {upper}")
    for (_, end), (begin, _) in itertools.pairwise(steps):
        if end != begin:
            raise invalid("StepAdjustments must follow each other without gap or overlap")
    if configuration["AdjustmentType"] == "ExactCapacity" and any(
        each["ScalingAdjustment"] < 0 for each in configuration["StepAdjustments"]
    ):
        raise invalid("StepAdjustments: an exact capacity cannot be negative")


def wish(configuration: Configuration, alarm: Mapping[str, Any], points: list[float], current: int) -> int:
    """Return the capacity that the policy asks for, given an alarm's datapoints."""
    aggregate = AGGREGATIONS[configuration.get("MetricAggregationType", "Average")]
    breach = aggregate(points) - alarm["Threshold"]
    is_above = alarm["ComparisonOperator"].startswith("Greater")
    for step in configuration["StepAdjustments"]:
        lower, upper = _bounds(step)
        if (lower <= breach < upper) if is_above else (lower < breach <= upper):
            return _adjusted(configuration, step["ScalingAdjustment"], current)
    return current


def cooldown(configuration: Configuration) -> float:
    """Return the seconds for which a step lasts before the next one of its kind."""
    return float(configuration.get("Cooldown", COOLDOWN))


def _bounds(step: Mapping[str, Any]) -> tuple[float, float]:
    return step.get(LOWER, -math.inf), step.get(UPPER, math.inf)


def _adjusted(configuration: Configuration, adjustment: int, current: int) -> int:
    kind = configuration["AdjustmentType"]
    if kind == "ExactCapacity":
        return adjustment
    if kind == "ChangeInCapacity":
        return current + adjustment
    change = current * adjustment / 100
    # Within one instance of nothing it is one instance; beyond, the fraction is dropped, as AWS does.
    size = max(1, math.floor(abs(change))) if change else 0
    size = max(size, configuration.get("MinAdjustmentMagnitude", 0)) if adjustment else 0
    return current + (size if adjustment > 0 else -size)
