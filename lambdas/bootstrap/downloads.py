"""Wiring of the function that fetches checkpoints."""

from __future__ import annotations

from functools import cache

from atelier.contract.settings import DownloadsSettings, from_environment
from atelier.contract.values import Value
from atelier.lambdas.adapters.web import Https
from atelier.lambdas.bootstrap import LONG
from atelier.lambdas.bootstrap.checkpoints import Keeping, keeping
from atelier.lambdas.ports.checkpoints import Web


class Fetching(Value):
    """What fetches checkpoints."""

    keeping: Keeping
    web: Web
    largest: int


@cache
def fetching() -> Fetching:
    """Wire what fetches checkpoints."""
    settings = from_environment(DownloadsSettings)
    return Fetching(
        keeping=keeping(settings.checkpoints_table, settings.bucket, settings.allow_pickled, LONG),
        web=Https(),
        largest=int(settings.largest_download),
    )
