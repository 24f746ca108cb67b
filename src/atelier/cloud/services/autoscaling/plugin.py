"""Application Auto Scaling, as the gateway plugs it in."""

from __future__ import annotations

import threading
from pathlib import Path

from atelier.cloud.context import Cloud
from atelier.cloud.services.autoscaling import activities, policies, targets
from atelier.cloud.services.autoscaling.evaluation import Evaluation
from atelier.cloud.services.autoscaling.resources import RESOURCES
from atelier.cloud.services.autoscaling.service import SERVICE
from atelier.cloud.services.autoscaling.service import policies as table
from atelier.cloud.services.autoscaling.settings import load
from atelier.cloud.services.plugin import Plugin

API = (targets, policies, activities)
"""The modules whose import registers their operations."""

_running: dict[Path, tuple[Evaluation, threading.Thread]] = {}


def start(cloud: Cloud) -> None:
    """Begin to scale; alarms that a kill of the cloud lost are made again."""
    evaluation = Evaluation(cloud, load(cloud.home))
    for _, policy in table(cloud).items():
        policies.raise_alarms(cloud, policy)
    _running[cloud.home] = evaluation, cloud.spawn(evaluation.run)


def stop(cloud: Cloud) -> None:
    """Scale no more."""
    evaluation, thread = _running.pop(cloud.home, (None, None))
    if evaluation is not None and thread is not None:
        evaluation.ending.set()
        thread.join(evaluation.settings.interval + 5)


SERVICE.start = start
SERVICE.stop = stop

PLUGIN = Plugin(scope="application-autoscaling", service=SERVICE, resources=RESOURCES)
