"""What state an alarm is in, by its metric's values: CloudWatch's rules, on windows that end now."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.cloud.context import Sample

RANGE = 2
"""Windows beyond the evaluation periods in which missing datapoints are looked for, as CloudWatch does."""

COMPARISONS: Mapping[str, tuple[str, Callable[[float, float], bool]]] = {
    "GreaterThanOrEqualToThreshold": ("greater than or equal to", operator.ge),
    "GreaterThanThreshold": ("greater than", operator.gt),
    "LessThanThreshold": ("less than", operator.lt),
    "LessThanOrEqualToThreshold": ("less than or equal to", operator.le),
}
STATISTICS: Mapping[str, Callable[[Sequence[Sample]], float]] = {
    "SampleCount": lambda samples: sum(each.count for each in samples),
    "Sum": lambda samples: sum(each.total for each in samples),
    "Average": lambda samples: sum(each.total for each in samples) / sum(each.count for each in samples),
    "Minimum": lambda samples: min(each.minimum for each in samples),
    "Maximum": lambda samples: max(each.maximum for each in samples),
}


@dataclass(frozen=True)
class Verdict:
    """An alarm's state, why, and the datapoints that it was told by, newest first."""

    state: str
    reason: str
    points: list[float]


def reach(alarm: Mapping[str, Any], period: float) -> float:
    """Return how many seconds back an alarm looks when its period lasts *period* seconds."""
    return float((alarm["EvaluationPeriods"] + RANGE) * period)


def judge(alarm: Mapping[str, Any], samples: Sequence[Sample], now: float, period: float) -> Verdict:
    """Say what state an alarm is in at *now*."""
    periods = alarm["EvaluationPeriods"]
    found = _points(alarm, samples, now, period)
    missing = alarm.get("TreatMissingData") or "missing"
    if missing in ("breaching", "notBreaching"):
        return _filled(alarm, found[:periods], is_breaching=missing == "breaching")
    points = [each for each in found if each is not None][:periods]
    breaches = [each for each in points if _is_breach(alarm, each)]
    if len(breaches) >= _needed(alarm):
        return Verdict("ALARM", _crossed(alarm, points, "was"), points)
    if not points and missing == "missing":
        return Verdict("INSUFFICIENT_DATA", "Insufficient Data: no datapoints were received", points)
    if len(points) == len(breaches):  # too few to tell, and none that says otherwise
        is_early = missing == "ignore" or _age(found) < _needed(alarm)
        state = alarm["StateValue"] if is_early else "ALARM"
        return Verdict(state, _crossed(alarm, points, "was"), points)
    return Verdict("OK", _crossed(alarm, points, "was not"), points)


def _filled(alarm: Mapping[str, Any], found: list[float | None], *, is_breaching: bool) -> Verdict:
    points = [each for each in found if each is not None]
    breaches = sum(is_breaching if each is None else _is_breach(alarm, each) for each in found)
    if breaches >= _needed(alarm):
        return Verdict("ALARM", _crossed(alarm, points, "was"), points)
    return Verdict("OK", _crossed(alarm, points, "was not"), points)


def _age(found: Sequence[float | None]) -> int:
    """Return how many windows ago the oldest datapoint was told: news alone raise no alarm too early."""
    return max((age for age, each in enumerate(found, start=1) if each is not None), default=0)


def _needed(alarm: Mapping[str, Any]) -> int:
    return int(alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"])


def _points(
    alarm: Mapping[str, Any], samples: Sequence[Sample], now: float, period: float
) -> list[float | None]:
    """Return one datapoint a window, newest first; None where nothing was told."""
    windows: list[list[Sample]] = [[] for _ in range(alarm["EvaluationPeriods"] + RANGE)]
    for each in samples:
        age = int((now - each.time) / period)
        is_meant = alarm.get("Unit") in (None, each.unit) and each.count > 0
        if is_meant and 0 <= age < len(windows):
            windows[age].append(each)
    statistic = STATISTICS[alarm["Statistic"]]
    return [statistic(each) if each else None for each in windows]


def _is_breach(alarm: Mapping[str, Any], value: float) -> bool:
    return COMPARISONS[alarm["ComparisonOperator"]][1](value, alarm["Threshold"])


def _crossed(alarm: Mapping[str, Any], points: list[float], was: str) -> str:
    words, _ = COMPARISONS[alarm["ComparisonOperator"]]
    shown = ", ".join(f"{each:g}" for each in points)
    return f"Threshold Crossed: [{shown}] {was} {words} the threshold ({alarm['Threshold']:g})."
