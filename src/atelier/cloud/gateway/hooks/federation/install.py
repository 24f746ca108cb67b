"""Puts verified web identity in the place of ministack's."""

from __future__ import annotations

from atelier.cloud.gateway.hooks.federation import exchange, operations


def install(region: str) -> None:
    """Answer IAM's and STS's operations on providers and their tokens."""
    operations.install()
    exchange.install(region)
