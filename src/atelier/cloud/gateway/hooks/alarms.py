"""Which alarm a call of CloudWatch is about: ministack reads no name from a list."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.gateway.hooks.private import replace

ACTIONS = "core.iam_actions"
PLACE = ("service", "method", "path", "headers", "body", "query_params", "region", "account_id")

Extract = Callable[..., str]


def install() -> None:
    """Let a policy on an alarm decide about it."""
    replace(ACTIONS, "extract_resource_arn", *PLACE, by=_named)


def _named(original: Extract) -> Extract:
    def extract(
        service: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query_params: Mapping[str, Any],
        region: str,
        account_id: str,
    ) -> str:
        if service == "monitoring":
            found = names(headers, body, query_params)
            if len(found) == 1:
                return f"arn:aws:cloudwatch:{region}:{account_id}:alarm:{found.pop()}"
        return original(service, method, path, headers, body, query_params, region, account_id)

    return extract


def names(headers: Mapping[str, str], body: bytes, query_params: Mapping[str, Any]) -> set[str]:
    """Return the alarms that a call names; of several, only who may touch every alarm may touch them."""
    document = _document(headers, body)
    if document is None:
        asked = [
            value for key, value in query_params.items() if key.split(".")[0] in {"AlarmName", "AlarmNames"}
        ]
        return {str(each[0] if isinstance(each, list) else each) for each in asked}
    several = document.get("AlarmNames")
    one = [document["AlarmName"]] if document.get("AlarmName") else []
    return {str(each) for each in (several if isinstance(several, list) else one)}


def _document(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """Return the members of a call in JSON; None for the older form."""
    if "json" not in headers.get("content-type", ""):
        return None
    try:
        value = json.loads(body)
    except ValueError:  # the service itself says what is wrong with it
        return {}
    return value if isinstance(value, dict) else {}
