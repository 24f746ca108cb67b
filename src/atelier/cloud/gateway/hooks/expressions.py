"""DynamoDB's expressions are parsed once; ministack parses a condition anew for each item."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from atelier.cloud.gateway.hooks.private import replace

DYNAMODB = "services.dynamodb"
KEPT = 1024


def install() -> None:
    """Keep what was found of the last expressions."""
    replace(DYNAMODB, "_tokenize", "expr", by=_tokens)
    replace(DYNAMODB, "_condition_syntax_error", "expr", "slot", by=lru_cache(KEPT))


def _tokens(original: Callable[[str], list[Any]]) -> Callable[[str], list[Any]]:
    kept = lru_cache(KEPT)(lambda expression: tuple(original(expression)))
    return lambda expr: list(kept(expr))
