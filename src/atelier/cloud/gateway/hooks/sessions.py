"""Sessions outlive the server: a link that a role has signed is good until its credentials end, as on AWS."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.gateway.hooks.access import SESSION_SECONDS
from atelier.cloud.gateway.hooks.private import replace, use

STS = "services.sts"
ADMINISTRATOR = "Root"
"""Its key has a file of its own, and is registered at each start."""


def install() -> None:
    """Save and take up sessions like any other state."""
    use(STS, "_sessions", checked=False)
    replace(STS, "get_state", by=lambda _: saved)
    replace(STS, "load_persisted_state", "data", by=_taking_up)


def saved() -> dict[str, Any]:
    """Return what is worth a file."""
    sessions: Mapping[str, Any] = dict(use(STS, "_sessions", checked=False))
    return {
        "sessions": {
            key: dict(each)
            for key, each in sessions.items()
            if each.get("PrincipalType") != ADMINISTRATOR and not _is_over(each)
        }
    }


def _taking_up(_original: object) -> Callable[[Mapping[str, Any]], None]:
    def take_up(data: Mapping[str, Any]) -> None:
        sessions = use(STS, "_sessions", checked=False)
        for key, each in data.get("sessions", {}).items():
            if not _is_over(each):
                # whose process has ended without a time of its own lives for as long as a role's may
                sessions.setdefault(key, {"Expiration": time.time() + SESSION_SECONDS, **each})

    return take_up


def _is_over(session: Mapping[str, Any]) -> bool:
    return float(session.get("Expiration") or "inf") < time.time()
