"""Wiring of the functions of trainings, merges and datasets, and of the state machine's steps."""

from __future__ import annotations

from functools import cache

from botocore.config import Config

from atelier.contract.settings import WorkSettings, WorkStepsSettings, from_environment
from atelier.contract.values import Value
from atelier.lambdas.adapters.checkpoints import DynamoCheckpoints
from atelier.lambdas.adapters.executions import WorkExecutions
from atelier.lambdas.adapters.objects import S3Objects
from atelier.lambdas.adapters.uploads import S3Uploads
from atelier.lambdas.adapters.work import DynamoDatasets, DynamoWorks
from atelier.lambdas.bootstrap import LONG, client
from atelier.lambdas.bootstrap.accounts import SWIFT
from atelier.lambdas.ports.checkpoints import Checkpoints, Folders, Uploads
from atelier.lambdas.ports.work import Datasets, Executions, Files, Models, Works

SIGNED = Config(
    signature_version="s3v4",
    connect_timeout=3,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 2},
)
"""For who waits, and for links."""

ONCE = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 1})
"""For what must not happen twice."""


class Keeping(Value):
    """What keeps work, datasets and what work makes."""

    works: Works
    datasets: Datasets
    files: Files
    checkpoints: Checkpoints
    uploads: Uploads
    folders: Folders


class Running(Value):
    """What begins and stops work."""

    keeping: Keeping
    models: Models
    executions: Executions
    instance_type: str


@cache
def running() -> Running:
    """Wire what begins, shows and stops work."""
    settings = from_environment(WorkSettings)
    dynamodb = client("dynamodb", config=SWIFT)
    return Running(
        keeping=_keeping(settings, SIGNED),
        models=DynamoCheckpoints(dynamodb, settings.checkpoints_table, settings.bucket),
        executions=WorkExecutions(
            client("stepfunctions", config=ONCE), client("sagemaker", config=ONCE), settings.work_machine_arn
        ),
        instance_type=settings.work_instance_type,
    )


@cache
def keeping() -> Keeping:
    """Wire what the steps of the state machine need."""
    return _keeping(from_environment(WorkStepsSettings), LONG)


def _keeping(settings: WorkSettings | WorkStepsSettings, patience: Config) -> Keeping:
    dynamodb, s3 = client("dynamodb", config=SWIFT), client("s3", config=patience)
    objects = S3Objects(s3, settings.bucket)
    return Keeping(
        works=DynamoWorks(dynamodb, settings.work_table),
        datasets=DynamoDatasets(dynamodb, settings.datasets_table),
        files=objects,
        checkpoints=DynamoCheckpoints(dynamodb, settings.checkpoints_table, settings.bucket),
        uploads=S3Uploads(s3, settings.bucket),
        folders=objects,
    )
