"""Wiring of the function that answers the operations on checkpoints."""

from __future__ import annotations

from functools import cache

from botocore.config import Config

from atelier.contract.settings import CheckpointsSettings, from_environment
from atelier.contract.values import Value
from atelier.lambdas.adapters.calls import AsynchronousJobs
from atelier.lambdas.adapters.checkpoints import DynamoCheckpoints
from atelier.lambdas.adapters.objects import S3Objects
from atelier.lambdas.adapters.uploads import S3Uploads
from atelier.lambdas.bootstrap import client
from atelier.lambdas.bootstrap.accounts import SWIFT
from atelier.lambdas.ports.checkpoints import Checkpoints, Folders, Jobs, Uploads

SIGNED = Config(
    signature_version="s3v4",
    connect_timeout=3,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 3},
)
"""For who waits, and for links; to make a file of many parts takes S3 a while."""

SOON = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})

YES_OR_NO = {"true": True, "false": False}


class Keeping(Value):
    """What keeps checkpoints and their files."""

    checkpoints: Checkpoints
    uploads: Uploads
    folders: Folders
    bucket: str
    pickled: bool


class Answering(Value):
    """What answers the operations on checkpoints."""

    keeping: Keeping
    jobs: Jobs


@cache
def answering() -> Answering:
    """Wire what answers the operations on checkpoints."""
    settings = from_environment(CheckpointsSettings)
    return Answering(
        keeping=keeping(settings.checkpoints_table, settings.bucket, settings.allow_pickled, SIGNED),
        jobs=AsynchronousJobs(client("lambda", config=SOON), settings.downloads_function),
    )


def keeping(table: str, bucket: str, pickled: str, patience: Config) -> Keeping:
    """Wire what keeps checkpoints in a table and their files in a bucket."""
    s3 = client("s3", config=patience)
    return Keeping(
        checkpoints=DynamoCheckpoints(client("dynamodb", config=SWIFT), table, bucket),
        uploads=S3Uploads(s3, bucket),
        folders=S3Objects(s3, bucket),
        bucket=bucket,
        pickled=YES_OR_NO[pickled],
    )
