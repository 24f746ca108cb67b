"""Wiring of the functions of endpoints."""

from __future__ import annotations

from functools import cache
from typing import Any

from botocore.config import Config

from atelier.contract.settings import EndpointsSettings, EndpointWatchSettings, from_environment
from atelier.contract.values import Value
from atelier.lambdas.adapters.endpoints import DynamoEndpoints
from atelier.lambdas.adapters.fleet import Parts, SageMakerFleet, SageMakerLauncher
from atelier.lambdas.adapters.scaling import ApplicationScaling
from atelier.lambdas.bootstrap import client
from atelier.lambdas.bootstrap.accounts import SWIFT
from atelier.lambdas.ports.endpoints import Endpoints, Fleet, Launcher, Scaling

SOON = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})
"""For a caller who waits, and several calls."""

ONCE = Config(connect_timeout=3, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 1})
"""For what must not happen twice."""


class Watch(Value):
    """What follows endpoints."""

    endpoints: Endpoints
    fleet: Fleet
    scaling: Scaling


class Making(Value):
    """What answers the operations on endpoints."""

    watch: Watch
    launcher: Launcher
    registry: str


@cache
def watch() -> Watch:
    """Wire what follows endpoints."""
    return watching(from_environment(EndpointWatchSettings).endpoints_table)


@cache
def making() -> Making:
    """Wire what answers the operations on endpoints."""
    settings = from_environment(EndpointsSettings)
    parts = Parts(
        image=settings.endpoint_image,
        role_arn=settings.endpoint_role_arn,
        bucket=settings.bucket,
        success_topic_arn=settings.success_topic_arn,
        error_topic_arn=settings.error_topic_arn,
    )
    return Making(
        watch=watching(settings.endpoints_table),
        launcher=SageMakerLauncher(client("sagemaker", config=ONCE), parts),
        registry=settings.registry,
    )


def watching(table: str) -> Watch:
    """Wire what follows the endpoints of a table."""
    return Watch(
        endpoints=DynamoEndpoints(client("dynamodb", config=SWIFT), table),
        fleet=SageMakerFleet(client("sagemaker", config=SOON)),
        scaling=ApplicationScaling(*map(_soon, ("application-autoscaling", "cloudwatch"))),
    )


def _soon(service: str) -> Any:
    return client(service, config=SOON)
