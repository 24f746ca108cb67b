"""Wiring of the reconciler."""

from __future__ import annotations

from functools import cache

from atelier.contract.settings import ReconcilerSettings, from_environment
from atelier.contract.values import Value
from atelier.lambdas.bootstrap.endpoints import Watch, watching
from atelier.lambdas.bootstrap.results import Taking, invocations, take_with
from atelier.lambdas.ports.inferences import Invocations


class Reconciling(Value):
    """What looks after endpoints and jobs."""

    taking: Taking
    invocations: Invocations
    watch: Watch


@cache
def reconciling() -> Reconciling:
    """Wire what looks after endpoints and jobs."""
    settings = from_environment(ReconcilerSettings)
    return Reconciling(
        taking=take_with(settings.inferences_table, settings.bucket),
        invocations=invocations(),
        watch=watching(settings.endpoints_table),
    )
