"""Wiring of what takes results, and of what jobs need besides."""

from __future__ import annotations

from functools import cache

from botocore.config import Config

from atelier.contract.settings import ResultsSettings, from_environment
from atelier.contract.values import Value
from atelier.lambdas.adapters.inferences import DynamoInferences
from atelier.lambdas.adapters.invocations import SageMakerInvocations
from atelier.lambdas.adapters.notices import SqsNotices
from atelier.lambdas.adapters.objects import S3Objects
from atelier.lambdas.bootstrap import client
from atelier.lambdas.bootstrap.accounts import SWIFT
from atelier.lambdas.ports.inferences import Inferences, Invocations, Notices, Objects

ANSWER = Config(connect_timeout=3, read_timeout=25, retries={"mode": "standard", "total_max_attempts": 1})
"""For an answer that must not be asked for twice; API Gateway waits 29 seconds."""

SIGNED = Config(
    signature_version="s3v4",
    connect_timeout=3,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 2},
)
"""For links, too: they are signed as every region wants them."""


class Taking(Value):
    """What takes results."""

    jobs: Inferences
    objects: Objects


@cache
def taking() -> Taking:
    """Wire what takes results."""
    settings = from_environment(ResultsSettings)
    return take_with(settings.inferences_table, settings.bucket)


@cache
def notices() -> Notices:
    """Wire the queue of what takes results."""
    return SqsNotices(client("sqs", config=SWIFT), from_environment(ResultsSettings).notices_url)


def take_with(table: str, bucket: str) -> Taking:
    """Wire what keeps jobs and their objects."""
    return Taking(
        jobs=DynamoInferences(client("dynamodb", config=SWIFT), table),
        objects=S3Objects(client("s3", config=SIGNED), bucket),
    )


def invocations() -> Invocations:
    """Wire the calls of endpoints."""
    return SageMakerInvocations(client("sagemaker-runtime", config=ANSWER))
