"""CloudWatch's metrics and alarms: fed by our services, and alarms judged by them instead of ministack.

ministack judges an alarm only when a value is put, by all metrics of its name whatever their dimensions, and
never returns it to OK for want of values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.context import Sample
from atelier.cloud.gateway.hooks import state
from atelier.cloud.gateway.hooks.private import replace, use

CLOUDWATCH = "services.cloudwatch"
KEPT = 5000
"""Values of one metric that a service of ours put: at one every 2 s these are nearly three hours."""

COMPARED = frozenset(
    {
        *("GreaterThanOrEqualToThreshold", "GreaterThanThreshold"),
        *("LessThanThreshold", "LessThanOrEqualToThreshold"),
    }
)


def install() -> None:
    """Keep ministack from judging the alarms that we judge; check what else this module builds on."""
    replace(CLOUDWATCH, "_evaluate_alarm", "alarm", by=_only_others)
    use(CLOUDWATCH, "record_metric", "namespace", "metric_name", "value", "unit", "dimensions")
    use(CLOUDWATCH, "_dims_key", "dims")
    use(CLOUDWATCH, "_point_stats", "pt")
    use(CLOUDWATCH, "cloudformation_put_metric_alarm", "alarm")
    use(CLOUDWATCH, "cloudformation_delete_metric_alarm", "name", "refuse_dependents")
    history = ("alarm_name", "old_state", "new_state", "reason", "alarm_type", "reason_data")
    use(CLOUDWATCH, "_record_history", *history)
    use(CLOUDWATCH, "_dispatch_alarm_actions", "alarm", "old_state", "new_state", "reason")
    use(CLOUDWATCH, "_evaluate_parent_alarms", "child", "seen")
    for name in ("_metrics", "_alarms"):
        use(CLOUDWATCH, name, checked=False)


def put(namespace: str, name: str, value: float, dimensions: Mapping[str, str]) -> None:
    """Store one value. A kill may lose it: metrics are not worth a save every second."""
    use(CLOUDWATCH, "record_metric", checked=False)(namespace, name, value, dimensions=dict(dimensions))
    values = _values(namespace, name, dimensions)
    del values[:-KEPT]


def samples(namespace: str, name: str, dimensions: Mapping[str, str], since: float) -> list[Sample]:
    """Return what was put of exactly this metric."""
    stats = use(CLOUDWATCH, "_point_stats", checked=False)
    return [
        Sample(
            time=each["Timestamp"], unit=each.get("Unit") or "None",
            **dict(zip(("count", "total", "minimum", "maximum"), stats(each), strict=True)),
        )
        for each in list(_values(namespace, name, dimensions))
        if each["Timestamp"] >= since
    ]  # fmt: skip


def alarms() -> list[Mapping[str, Any]]:
    """Return the alarms that are ours to judge."""
    return [dict(each) for each in _alarms().values() if _is_ours(each)]


def put_alarm(alarm: Mapping[str, Any]) -> None:
    """Make or change an alarm; one that exists keeps its state."""
    kept = _alarms().get(alarm["AlarmName"]) or {
        "StateValue": "INSUFFICIENT_DATA",
        "StateReason": "Unchecked: Initial alarm creation",
        "StateUpdatedTimestamp": int(time.time()),
    }
    names = ("StateValue", "StateReason", "StateUpdatedTimestamp")
    state.changed("cloudwatch")
    use(CLOUDWATCH, "cloudformation_put_metric_alarm", checked=False)(
        {
            **alarm,
            **{name: kept[name] for name in names},
            "AlarmConfigurationUpdatedTimestamp": int(time.time()),
        }
    )


def delete_alarm(name: str) -> None:
    """Forget an alarm."""
    state.changed("cloudwatch")
    use(CLOUDWATCH, "cloudformation_delete_metric_alarm", checked=False)(name)


def move_alarm(name: str, to: str, reason: str) -> None:
    """Bring an alarm to another state, with its history, its topics and the alarms composed of it."""
    alarm = _alarms().get(name)
    if alarm is None or alarm["StateValue"] == to:
        return
    before = alarm["StateValue"]
    alarm.update(StateValue=to, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
    state.changed("cloudwatch", "sns")
    use(CLOUDWATCH, "_record_history", checked=False)(name, before, to, reason)
    use(CLOUDWATCH, "_dispatch_alarm_actions", checked=False)(alarm, before, to, reason)
    use(CLOUDWATCH, "_evaluate_parent_alarms", checked=False)(alarm)


def _values(namespace: str, name: str, dimensions: Mapping[str, str]) -> list[dict[str, Any]]:
    key = (namespace, name, use(CLOUDWATCH, "_dims_key", checked=False)(dict(dimensions)))
    found: list[dict[str, Any]] = use(CLOUDWATCH, "_metrics", checked=False).get(key) or []
    return found


def _alarms() -> Any:
    return use(CLOUDWATCH, "_alarms", checked=False)


def _is_ours(alarm: Mapping[str, Any]) -> bool:
    return bool(
        alarm.get("MetricName")
        and alarm.get("Namespace")
        and not alarm.get("ExtendedStatistic")
        and alarm.get("ComparisonOperator") in COMPARED
    )


def _only_others(original: Callable[[Any], None]) -> Callable[[Any], None]:
    return lambda alarm: None if _is_ours(alarm) else original(alarm)
