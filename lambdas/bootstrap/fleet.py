"""Wiring of the fleet's functions."""

from __future__ import annotations

from functools import cache

from atelier.contract.settings import FleetSettings, LandingSettings, from_environment
from atelier.contract.values import Value
from atelier.lambdas.adapters.landing_memory import DynamoMemory
from atelier.lambdas.adapters.landings import ModelBucket
from atelier.lambdas.adapters.model_parameter import SsmModel
from atelier.lambdas.adapters.notices import SqsNotices
from atelier.lambdas.adapters.people import SnsPeople
from atelier.lambdas.adapters.tasks import EcsService
from atelier.lambdas.bootstrap import LONG, client
from atelier.lambdas.ports.fleet import Bucket, Memory, Parameter, People, Service

ATTEMPTS, PROVISION_SECONDS = 3, 900
"""So often a model may fail to start, and for so long AWS may take to give the tasks their places."""


class Fleet(Value):
    """What a look needs."""

    bucket: Bucket
    parameter: Parameter
    service: Service
    memory: Memory
    people: People
    patience: float


@cache
def fleet() -> Fleet:
    """Wire what a look needs."""
    settings = from_environment(FleetSettings)
    return Fleet(
        bucket=ModelBucket(client("s3", config=LONG), settings.fleet_bucket),
        parameter=SsmModel(client("ssm", config=LONG), settings.model_parameter),
        service=EcsService(
            client("ecs", config=LONG),
            client("logs", config=LONG),
            client("application-autoscaling", config=LONG),
            cluster=settings.cluster,
            service=settings.service,
            parameter=settings.model_parameter,
            log_group=settings.log_group,
            fewest=int(settings.min_tasks),
        ),
        memory=DynamoMemory(client("dynamodb", config=LONG), settings.fleet_table),
        people=SnsPeople(client("sns", config=LONG), settings.reports_topic_arn),
        patience=ATTEMPTS * float(settings.startup_seconds) + PROVISION_SECONDS,
    )


@cache
def notices() -> SqsNotices:
    """Wire the queue of what lands."""
    settings = from_environment(LandingSettings)
    return SqsNotices(client("sqs", config=LONG), settings.landings_url)
