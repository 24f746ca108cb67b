"""ECS, as the gateway plugs it in."""

from __future__ import annotations

import threading

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecs import (
    api_services,
    api_tasks,
    balancing,
    clusters,
    definitions,
    live,
    records,
    tags,
)
from atelier.cloud.services.ecs.integrations import INTEGRATIONS
from atelier.cloud.services.ecs.resources import RESOURCES
from atelier.cloud.services.ecs.scheduler import Scheduler
from atelier.cloud.services.ecs.service import SERVICE, tasks
from atelier.cloud.services.ecs.telemetry import Telemetry
from atelier.cloud.services.plugin import Plugin

API = (api_services, api_tasks, clusters, definitions, tags)
"""The modules whose import registers their operations."""
GONE = "the local cloud was stopped while the task ran"


def start(cloud: Cloud) -> None:
    """Take up what a stop of the cloud interrupted: tasks have ended with it, services start new ones."""
    state = live.of(cloud)
    for id, task in tasks(cloud).items():
        if task["lastStatus"] != "STOPPED":
            balancing.deregister(cloud, task)
            records.stopping(cloud, id, "TerminationNotice", GONE)
            records.stopped(cloud, id)
    state.threads = [cloud.spawn(Scheduler(cloud, state).run), cloud.spawn(Telemetry(cloud, state).run)]


def stop(cloud: Cloud) -> None:
    """End the tasks' containers; services come back with the next start."""
    state = live.forget(cloud)
    if state is None:
        return
    state.ending.set()
    state.changed.set()
    for thread in state.threads:
        thread.join()
    runs = list(state.runs.values())
    stoppers = [threading.Thread(target=each.abort, args=(state.settings.shutdown_grace,)) for each in runs]
    for thread in stoppers:
        thread.start()
    for thread in stoppers:
        thread.join()
    for each in runs:
        each.ended.wait(state.settings.shutdown_grace)
    state.agent.stop()


SERVICE.start = start
SERVICE.stop = stop

PLUGIN = Plugin(scope="ecs", service=SERVICE, resources=RESOURCES, integrations=INTEGRATIONS)
