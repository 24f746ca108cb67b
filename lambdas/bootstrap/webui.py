"""Wiring of the functions that the WebUI's pipeline and its events call."""

from __future__ import annotations

from functools import cache

from atelier.contract.settings import ChangesSettings, FollowSettings, PublishImageSettings, from_environment
from atelier.contract.values import Value
from atelier.lambdas.adapters.codepipeline import JobReports
from atelier.lambdas.adapters.image_runs import ImageExecutions, ImagePipeline
from atelier.lambdas.adapters.latest import SsmLatest
from atelier.lambdas.adapters.people import SnsPeople
from atelier.lambdas.adapters.sources import CodeCommitDifferences
from atelier.lambdas.adapters.webui_history import DynamoHistory
from atelier.lambdas.bootstrap import LONG, client
from atelier.lambdas.ports.training import Reports
from atelier.lambdas.ports.webui import Differences, History, Latest, People, Pipeline, Starts


class Changes(Value):
    """What starts the pipeline for pushes."""

    differences: Differences
    pipeline: Starts


@cache
def changes() -> Changes:
    """Wire what starts the pipeline for pushes."""
    settings = from_environment(ChangesSettings)
    return Changes(
        differences=CodeCommitDifferences(client("codecommit", config=LONG)),
        pipeline=ImagePipeline(client("codepipeline", config=LONG), settings.pipeline),
    )


@cache
def reports() -> Reports:
    """Wire the reports to CodePipeline."""
    return JobReports(client("codepipeline", config=LONG))


class Publish(Value):
    """What makes an image the latest one."""

    latest: Latest
    history: History
    people: People


@cache
def publish() -> Publish:
    """Wire what makes an image the latest one."""
    settings = from_environment(PublishImageSettings)
    return Publish(
        latest=SsmLatest(client("ssm", config=LONG), settings.parameter_path),
        history=DynamoHistory(client("dynamodb", config=LONG), settings.history_table),
        people=SnsPeople(client("sns", config=LONG), settings.reports_topic_arn),
    )


class Follow(Value):
    """What keeps the history."""

    pipeline: Pipeline
    history: History
    people: People


@cache
def follow() -> Follow:
    """Wire what keeps the history."""
    settings = from_environment(FollowSettings)
    return Follow(
        pipeline=executions(settings.pipeline),
        history=DynamoHistory(client("dynamodb", config=LONG), settings.history_table),
        people=SnsPeople(client("sns", config=LONG), settings.reports_topic_arn),
    )


def executions(pipeline: str) -> Pipeline:
    """Wire the pipeline with what became of its runs."""
    return ImageExecutions(
        client("codepipeline", config=LONG),
        pipeline,
        client("codebuild", config=LONG),
        client("logs", config=LONG),
    )
