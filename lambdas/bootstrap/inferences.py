"""Wiring of what answers the operations on inferences."""

from __future__ import annotations

from functools import cache

from atelier.contract.settings import InferencesSettings, from_environment
from atelier.contract.values import Value
from atelier.lambdas.adapters.checkpoints import DynamoCheckpoints
from atelier.lambdas.adapters.endpoints import DynamoEndpoints
from atelier.lambdas.bootstrap import client
from atelier.lambdas.bootstrap.accounts import SWIFT
from atelier.lambdas.bootstrap.results import Taking, invocations, take_with
from atelier.lambdas.ports.endpoints import Endpoints
from atelier.lambdas.ports.inferences import Checkpoints, Invocations


class Running(Value):
    """What answers the operations on inferences."""

    taking: Taking
    invocations: Invocations
    endpoints: Endpoints
    checkpoints: Checkpoints


@cache
def running() -> Running:
    """Wire what answers the operations on inferences."""
    settings = from_environment(InferencesSettings)
    dynamodb = client("dynamodb", config=SWIFT)
    return Running(
        taking=take_with(settings.inferences_table, settings.bucket),
        invocations=invocations(),
        endpoints=DynamoEndpoints(dynamodb, settings.endpoints_table),
        checkpoints=DynamoCheckpoints(dynamodb, settings.checkpoints_table, settings.bucket),
    )
