"""Wiring of the function that looks whether upstream has moved."""

from __future__ import annotations

from functools import cache

from atelier.contract.settings import TrackSettings, from_environment
from atelier.contract.values import Value
from atelier.lambdas.adapters.people import SnsPeople
from atelier.lambdas.adapters.sources import CodeCommitDeclarations
from atelier.lambdas.adapters.upstreams import GitUpstreams
from atelier.lambdas.adapters.webui_history import DynamoHistory
from atelier.lambdas.bootstrap import LONG, client
from atelier.lambdas.bootstrap.webui import executions
from atelier.lambdas.ports.webui import Declarations, History, People, Pipeline, Upstreams


class Track(Value):
    """What a look needs."""

    declarations: Declarations
    upstreams: Upstreams
    pipeline: Pipeline
    history: History
    people: People


@cache
def track() -> Track:
    """Wire what looks whether upstream has moved."""
    settings = from_environment(TrackSettings)
    return Track(
        declarations=CodeCommitDeclarations(
            client("codecommit", config=LONG), settings.source_repository, settings.source_branch
        ),
        upstreams=GitUpstreams(),
        pipeline=executions(settings.pipeline),
        history=DynamoHistory(client("dynamodb", config=LONG), settings.history_table),
        people=SnsPeople(client("sns", config=LONG), settings.reports_topic_arn),
    )
