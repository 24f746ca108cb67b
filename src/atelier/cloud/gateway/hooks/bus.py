"""EventBridge's default bus, for events of our own services."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from atelier.cloud.gateway.hooks import state
from atelier.cloud.gateway.hooks.private import use


def install() -> None:
    """Check what this module builds on."""
    use("services.eventbridge", "_put_events", "data", "allow_aws_source")
    use("core.responses", "request_scope", "account_id", "region")


def scope(account: str, region: str) -> AbstractContextManager[None]:
    """Return a context in which ministack's stores are those of an account and a region."""
    entered: AbstractContextManager[None] = use("core.responses", "request_scope", checked=False)(
        account, region
    )
    return entered


def publish(
    account: str, region: str, source: str, detail_type: str, detail: Mapping[str, Any], on: list[str]
) -> None:
    """Put one event on the bus as a service, which alone may name an ``aws.`` source."""
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail, default=str),
        "Resources": on,
    }
    with scope(account, region):
        state.changed("eventbridge")
        use("services.eventbridge", "_put_events", checked=False)({"Entries": [entry]}, allow_aws_source=True)
