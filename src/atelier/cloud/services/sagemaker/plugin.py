"""SageMaker, as the gateway plugs it in."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.plugin import Plugin
from atelier.cloud.services.sagemaker import (
    backlogs,
    deployment,
    live,
    models,
    notebook_instances,
    notebook_scripts,
    runtime,
    scaling,
    tags,
    telemetry,
    training,
)
from atelier.cloud.services.sagemaker import endpoints as endpoints_api
from atelier.cloud.services.sagemaker.integrations import INTEGRATIONS
from atelier.cloud.services.sagemaker.journal import Journal
from atelier.cloud.services.sagemaker.notebook_resources import NOTEBOOK_RESOURCES
from atelier.cloud.services.sagemaker.resources import RESOURCES
from atelier.cloud.services.sagemaker.service import SERVICE, endpoints, jobs

STOPPED = "InternalServerError: the local cloud was stopped while"

API = (training, models, endpoints_api, scaling, tags, notebook_instances, notebook_scripts)
"""The modules whose import registers their operations."""

logger = logging.getLogger(__name__)


def start(cloud: Cloud) -> None:
    """Take up what a stop or a kill of the cloud interrupted."""
    live.of(cloud)  # settings that are wrong are said now
    shutil.rmtree(cloud.home / "sagemaker" / "training", ignore_errors=True)
    for name, record in jobs(cloud).items():
        if record["TrainingJobStatus"] in ("InProgress", "Stopping"):
            journal = Journal(cloud, name)
            journal.publish(journal.end("Failed", "Failed", f"{STOPPED} the job was running"))
    for name, record in endpoints(cloud).items():
        _take_up(cloud, name, record["EndpointStatus"], record.get("deployment"))
    backlogs.take_up(cloud)
    notebook_instances.take_up(cloud)
    live.of(cloud).keep(cloud.spawn(telemetry.report, cloud, live.of(cloud)))


def stop(cloud: Cloud) -> None:
    """End jobs and containers; endpoints come back with the next start."""
    state = live.forget(cloud)
    if state is None:
        return
    state.ending.set()
    for backlog in list(state.backlogs.values()):
        backlog.close()
    for run in list(state.runs.values()):
        run.abort(f"{STOPPED} the job was running")
    for fleet in list(state.opening.values()):
        fleet.cancel()
    fleets, state.fleets = state.fleets, {}
    closers = [
        threading.Thread(target=fleet.close, kwargs={"grace": state.settings.shutdown_grace, "keep": True})
        for fleet in fleets.values()
    ]
    for thread in closers:
        thread.start()
    deadline = time.monotonic() + 2 * state.settings.shutdown_grace + 1
    for thread in [*closers, *state.threads]:
        thread.join(max(0.0, deadline - time.monotonic()))
    state.callers.shutdown(wait=False, cancel_futures=True)


def _take_up(cloud: Cloud, name: str, status: str, serving: dict[str, Any] | None) -> None:
    if status == "Deleting":
        deployment.delete(cloud, name)
    elif status == "Creating":
        reason = f"{STOPPED} the endpoint was being created"
        deployment.change(cloud, name, EndpointStatus="Failed", FailureReason=reason, pending=None)
    elif serving is not None:
        values: dict[str, str] = {}
        if (endpoints(cloud).get(name) or {}).get("pending") is not None:
            values["FailureReason"] = f"{STOPPED} the endpoint was being updated"
        deployment.change(cloud, name, EndpointStatus="SystemUpdating", pending=None, **values)
        live.of(cloud).keep(cloud.spawn(deployment.restore, cloud, name, serving))


SERVICE.start = start
SERVICE.stop = stop

PLUGIN = Plugin(
    scope="sagemaker",
    service=SERVICE,
    resources=(*RESOURCES, *NOTEBOOK_RESOURCES),
    rest=runtime.answer,
    integrations=INTEGRATIONS,
)
