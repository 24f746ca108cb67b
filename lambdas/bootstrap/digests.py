"""Wiring of the function that computes the digests of checkpoints' files."""

from __future__ import annotations

from functools import cache

from atelier.contract.settings import DigestsSettings, from_environment
from atelier.contract.values import Value
from atelier.lambdas.adapters.checkpoints import DynamoCheckpoints
from atelier.lambdas.adapters.uploads import S3Contents
from atelier.lambdas.bootstrap import LONG, client
from atelier.lambdas.bootstrap.accounts import SWIFT
from atelier.lambdas.ports.checkpoints import Checkpoints, Contents


class Digesting(Value):
    """What computes digests."""

    checkpoints: Checkpoints
    contents: Contents


@cache
def digesting() -> Digesting:
    """Wire what computes digests."""
    settings = from_environment(DigestsSettings)
    return Digesting(
        checkpoints=DynamoCheckpoints(
            client("dynamodb", config=SWIFT), settings.checkpoints_table, settings.bucket
        ),
        contents=S3Contents(client("s3", config=LONG), settings.bucket),
    )
