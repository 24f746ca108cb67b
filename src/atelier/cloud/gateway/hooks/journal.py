"""Step Functions' own log: the events of an execution, when its state machine asks for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.gateway.hooks import logs
from atelier.cloud.gateway.hooks.private import replace, use

SFN = "services.stepfunctions"
DATA = frozenset({"input", "output", "parameters"})


def install() -> None:
    """Write each history event to the log group that the state machine names."""
    replace(SFN, "_add_event", "execution", "event_type", "details", by=_written)


def _written(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    machines = use(SFN, "_state_machines", checked=False)

    def add(execution: Any, event_type: str, details: Any = None) -> dict[str, Any]:
        event = original(execution, event_type, details)
        machine = machines.get(execution.get("stateMachineArn", "")) or {}
        asked = machine.get("loggingConfiguration") or {}
        events = execution["events"]
        new = events[:2] if len(events) == 2 else [event]  # the first event is made without this function
        lines = [
            _line(each, execution, asked) for each in new if _wanted(asked.get("level", "OFF"), each["type"])
        ]
        stream = f"states/{machine.get('name')}/{time.strftime('%Y-%m-%d-%H')}"
        for group in asked.get("destinations") or () if lines else ():
            logs.append(group["cloudWatchLogsLogGroup"]["logGroupArn"], stream, lines)
        return event

    return add


def _wanted(level: str, kind: str) -> bool:
    failed = kind.endswith(("Failed", "TimedOut", "Aborted"))
    return level == "ALL" or (
        failed and (level == "ERROR" or (level == "FATAL" and kind.startswith("Execution")))
    )


def _line(event: Mapping[str, Any], execution: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    details: dict[str, Any] = {}
    for name, value in event.items():
        if name.endswith("EventDetails"):
            details.update(value)
    if not asked.get("includeExecutionData"):
        details = {name: value for name, value in details.items() if name not in DATA}
    return json.dumps(
        {
            "id": str(event["id"]),
            "type": event["type"],
            "details": details,
            "previous_event_id": str(event["id"] - 1),
            "event_timestamp": event["timestamp"],
            "execution_arn": execution.get("executionArn"),
        }
    )
