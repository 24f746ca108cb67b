"""What the functions of the middleware may do with checkpoints and jobs: their items and their objects."""

from __future__ import annotations

from atelier.contract import keys
from atelier.templates.middleware_parts import (
    CHECKPOINTS,
    DATASETS,
    INFERENCES,
    READ,
    WORK,
    WRITE,
    listing,
    on,
    on_objects,
)
from atelier.templates.parts import Statement

ANSWERS = (keys.ASYNC_OUTPUT, keys.ASYNC_FAILURES)


def keeping_checkpoints() -> list[Statement]:
    """Allow to keep checkpoints and their files; what a link is worth, its maker may do."""
    files = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    return [
        on(CHECKPOINTS, "dynamodb:GetItem", "dynamodb:BatchGetItem", *WRITE),
        on_objects(files, keys.CHECKPOINTS),
        listing(keys.CHECKPOINTS),
    ]


def reading_checkpoints() -> list[Statement]:
    """Allow to read the files of checkpoints and to keep what is found out about them."""
    return [
        on(CHECKPOINTS, "dynamodb:GetItem", *WRITE),
        on_objects(["s3:GetObject"], keys.CHECKPOINTS),
        listing(keys.CHECKPOINTS),
    ]


def running_jobs() -> list[Statement]:
    """Allow to keep jobs with what clients send and are sent."""
    return [
        on(INFERENCES, "dynamodb:GetItem", "dynamodb:Query", *WRITE, indexes=True),
        on_objects(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], keys.INFERENCES),
        listing(keys.INFERENCES),
    ]


def taking_results() -> list[Statement]:
    """Allow to move an answer of SageMaker's to where its job's results lie."""
    return [
        on(INFERENCES, "dynamodb:GetItem", "dynamodb:PutItem"),
        on_objects(["s3:GetObject", "s3:DeleteObject"], *ANSWERS),
        on_objects(["s3:PutObject", "s3:DeleteObject"], keys.INFERENCES),
        listing(keys.INFERENCES, *ANSWERS),
    ]


def keeping_work() -> list[Statement]:
    """Allow to keep work with what it is asked and tells."""
    return [
        on(WORK, *READ, *WRITE, indexes=True),
        on_objects(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], keys.WORK),
        listing(keys.WORK),
    ]


def keeping_datasets() -> list[Statement]:
    """Allow to keep datasets with their files; what a link is worth, its maker may do."""
    return [
        on(DATASETS, *READ, *WRITE, indexes=True),
        on_objects(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], keys.DATASETS, keys.MANIFESTS),
        listing(keys.DATASETS, keys.MANIFESTS),
    ]


def looking_at_datasets() -> list[Statement]:
    """Allow to find a dataset."""
    return [on(DATASETS, "dynamodb:GetItem")]
