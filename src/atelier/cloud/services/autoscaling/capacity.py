"""What scaling must know of a resource."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """How much of a resource is wanted now."""

    desired: int
    is_settled: bool
    """Whether it may be changed now."""
    least: int = 0
    """Less than that it cannot have."""
    may_shrink: bool = True
