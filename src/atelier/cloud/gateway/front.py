"""How a request reaches one of our services: signed, of this region, in a worker thread, as its signer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.gateway.hooks import server
from atelier.cloud.gateway.identity import GatewayIdentity
from atelier.cloud.services.plugin import Plugin
from atelier.cloud.services.wire import Response


def handler(plugin: Plugin, cloud: Cloud, identity: GatewayIdentity) -> server.ServiceHandler:
    """Return the handler of one plugin's scope; ministack has verified the signature before it is called."""
    error = plugin.refuse or _error

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        region = server.signed_region(headers, query)
        if region != cloud.region:
            return error(
                "ValidationException", f"the local cloud is {cloud.region}, and has no {region}", 400
            )
        signer = identity.signer(server.signed_by(headers, query))
        if signer is None:
            return error(
                "UnrecognizedClientException", "The security token included in the request is invalid.", 400
            )
        with identity.acting_as(signer):
            if plugin.paths:
                return await plugin.paths(cloud, method, path, query, body)
            return await _answer(plugin, cloud, method, path, headers, body)

    return handle


async def _answer(
    plugin: Plugin, cloud: Cloud, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> Response:
    target = headers.get("x-amz-target", "")
    if target:
        operation = target.rpartition(".")[2]
        return await asyncio.to_thread(plugin.service.answer, cloud, operation, body)
    if plugin.rest and (answer := await plugin.rest(cloud, method, path, headers, body)):
        return answer
    refuse = plugin.refuse or _error
    return refuse("UnknownOperationException", f"{plugin.scope} has no {method} {path}", 404)


def _error(code: str, message: str, status: int) -> Response:
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-errortype": code}
    return status, headers, json.dumps({"__type": code, "message": message}).encode()
