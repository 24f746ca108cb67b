"""By which capacity provider the next task of a strategy runs."""

from __future__ import annotations

from collections.abc import Sequence

from atelier.cloud.services.wire import Document
from atelier.cloud.store import Record


def providers(place: Record, running: Sequence[Record]) -> Document:
    """Return the members of a new task that say how it was placed, beside those of the same place."""
    strategy = place.get("capacityProviderStrategy")
    if not strategy:
        return {"launchType": place.get("launchType", "FARGATE")}
    names = [each.get("capacityProviderName") for each in running]
    return {"launchType": "FARGATE", "capacityProviderName": _next(strategy, names)}


def _next(strategy: list[Document], names: list[str | None]) -> str:
    """Return the provider that lacks its base, else the one that lags the most behind its weight."""
    counts = {each["capacityProvider"]: names.count(each["capacityProvider"]) for each in strategy}
    for each in strategy:
        if counts[each["capacityProvider"]] < each.get("base", 0):
            return str(each["capacityProvider"])
    weighted = [each for each in strategy if each.get("weight", 0)]

    def load(each: Document) -> float:
        return float((counts[each["capacityProvider"]] - each.get("base", 0) + 1) / each["weight"])

    return str(min(weighted, key=load)["capacityProvider"])
