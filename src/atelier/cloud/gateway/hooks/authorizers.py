"""API Gateway asks an authorizer once for callers of one identity who come together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from atelier.cloud.gateway.hooks.private import replace, use

V1 = "services.apigateway_v1"


def install() -> None:
    """Let a crowd wait for the first answer, when the authorizer's answers are kept at all."""
    use(V1, "_request_identity_sources", "identity_source", "headers", "query_params", "stage")
    use(V1, "_authorizer_ttl", "authorizer")
    place = ("authorizer", "event", "account_id", "region")
    replace(V1, "_invoke_authorizer_lambda", *place, by=_together)


def _together(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    asked: dict[tuple[Any, ...], asyncio.Future[Any]] = {}

    async def invoke(authorizer: Mapping[str, Any], event: Mapping[str, Any], *where: str) -> Any:
        if not use(V1, "_authorizer_ttl", checked=False)(authorizer):
            return await original(authorizer, event, *where)
        who = _identity(authorizer, event)
        if who not in asked:
            asked[who] = asyncio.ensure_future(original(authorizer, event, *where))
            asked[who].add_done_callback(lambda _: asked.pop(who))
        return await asyncio.shield(asked[who])

    return invoke


def _identity(authorizer: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what the cache tells callers apart by."""
    stage = event["methodArn"].split("/")[:2]
    if event["type"] == "TOKEN":
        return authorizer["id"], *stage, event["authorizationToken"]
    _, sources = use(V1, "_request_identity_sources", checked=False)(
        authorizer.get("identitySource"),
        event["headers"],
        event["multiValueQueryStringParameters"],
        {"variables": event["stageVariables"]},
    )
    return authorizer["id"], *stage, *sources
