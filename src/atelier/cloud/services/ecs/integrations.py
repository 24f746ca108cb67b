"""ECS as Step Functions' optimised integrations call it."""

from __future__ import annotations

import json
import threading
from typing import Any

from atelier.cloud.context import Caller, Cloud, Refused
from atelier.cloud.services.ecs import live, records
from atelier.cloud.services.ecs.service import SERVICE, last, shown, tasks
from atelier.cloud.services.plugin import Integration, TaskFailed, is_wanted
from atelier.cloud.services.resources import from_cloudformation
from atelier.cloud.services.wire import Document, ServiceError

GENERAL = "ECS.AmazonECSException"
ASK_EVERY = 0.25
"""Seconds between two looks whether the task has ended, and whether the execution was aborted."""


def run(cloud: Cloud, _caller: Caller, parameters: Document) -> Document:
    """Start tasks, and do not wait for them."""
    shape = SERVICE.shapes.operation_model("RunTask").input_shape
    assert shape is not None
    try:
        request = from_cloudformation(parameters, shape, "Parameters")
        found: Document = _capital(SERVICE.call(cloud, "RunTask", request))
    except ServiceError as error:
        raise TaskFailed(f"ECS.{error.code}", str(error)) from error
    except Refused as error:
        raise TaskFailed(GENERAL, str(error)) from error
    return found


def run_to_its_end(cloud: Cloud, caller: Caller, parameters: Document) -> Document:
    """Run a task and wait for its end; any but that of a container with code 0 fails the state."""
    started = run(cloud, caller, parameters)["Tasks"]
    ids = [last(each["TaskArn"]) for each in started]
    waiting = threading.Event()
    while not all(_has_ended(cloud, each) for each in ids):
        if not is_wanted.get()():
            _stop(cloud, ids)
            raise TaskFailed("States.TaskFailed", "the execution has ended; its tasks are stopped")
        waiting.wait(ASK_EVERY)
    ended = [shown(tasks(cloud).get(each) or {}) for each in ids]
    codes = [container.get("exitCode") for task in ended for container in task["containers"]]
    result: Document = _capital(ended[0])
    if any(code != 0 for code in codes):
        raise TaskFailed("States.TaskFailed", json.dumps(result))
    return result


def _has_ended(cloud: Cloud, id: str) -> bool:
    record = tasks(cloud).get(id)
    return record is None or record["lastStatus"] == "STOPPED"


def _stop(cloud: Cloud, ids: list[str]) -> None:
    for id in ids:
        records.stopping(cloud, id, "UserInitiated", "The execution that ran the task has ended")
        if found := live.of(cloud).runs.get(id):
            found.end()


def _capital(value: Any) -> Any:
    """Name members as Step Functions does, with a capital."""
    if isinstance(value, dict):
        return {f"{key[:1].upper()}{key[1:]}": _capital(each) for key, each in value.items()}
    return [_capital(each) for each in value] if isinstance(value, list) else value


INTEGRATIONS: dict[str, Integration] = {"ecs:runTask": run, "ecs:runTask.sync": run_to_its_end}
