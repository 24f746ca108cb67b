"""A body on its way out: block by block from disk, as fast as the client takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from atelier.cloud.gateway.hooks.objects.arriving import WORKERS
from atelier.cloud.gateway.hooks.objects.stored import BLOCK, Stored


def sender(body: Stored) -> Callable[[Any, Any], Awaitable[None]]:
    """Return what sends *body* as the content of an answer."""

    async def run(send: Any, receive: Any) -> None:
        loop = asyncio.get_running_loop()
        gone = asyncio.create_task(_disconnected(receive))
        try:
            for offset in range(0, len(body), BLOCK):
                block = await loop.run_in_executor(WORKERS, body.read, offset)
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": block, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()

    return run


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
