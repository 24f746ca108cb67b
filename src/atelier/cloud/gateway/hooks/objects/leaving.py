"""A body on its way out: block by block from disk, as fast as the client takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from atelier.cloud.gateway.hooks.objects.aside import WORKERS
from atelier.cloud.gateway.hooks.objects.refused import Answer, Refused
from atelier.cloud.gateway.hooks.objects.stored import BLOCK, Stored
from atelier.cloud.gateway.hooks.private import replace, use

S3 = "services.s3"


def install(over_http: Callable[[], bool]) -> None:
    """Stream what is answered *over_http*; give other services plain bytes, for what they read they need."""
    replace(
        S3,
        "_get_object",
        *("bucket_name", "key", "headers", "query_params"),
        by=lambda original: _streamed(original, over_http),
    )
    replace(S3, "_get_object_data", "bucket_name", "key", "version_id", by=_in_memory)


def _streamed(original: Callable[..., Answer], over_http: Callable[[], bool]) -> Callable[..., Answer]:
    streaming = use("core.responses", "StreamingResponse", "runner")
    bounds = use(S3, "_parse_range", "range_header", "total")

    def get(
        bucket_name: str, key: str, headers: dict[str, str], query_params: dict[str, Any] | None = None
    ) -> Answer:
        answer = original(bucket_name, key, headers, query_params)
        if answer[0] == 200 and headers.get("range"):  # of a version; ministack sends the whole
            answer = _stretch(answer, bounds(headers["range"], len(answer[2])))
        status, answered, body = answer
        if not isinstance(body, Stored):
            return answer
        return status, answered, streaming(sender(body)) if over_http() else bytes(body)

    return get


def _stretch(answer: Answer, bounds: tuple[int, int] | None) -> Answer:
    _, answered, body = answer
    if bounds is None:
        status, refusal, text = Refused(
            "InvalidRange", "The requested range is not satisfiable", 416
        ).answer()
        return status, {**refusal, "Content-Range": f"bytes */{len(body)}"}, text
    first, last = bounds
    part = body[first : last + 1]
    whole = {name: value for name, value in answered.items() if not _is_of_the_whole(name)}
    length = {"Content-Length": str(len(part)), "Content-Range": f"bytes {first}-{last}/{len(body)}"}
    return 206, whole | length, part


def _is_of_the_whole(header: str) -> bool:
    return header.lower().startswith("x-amz-checksum-")


def _in_memory(original: Callable[..., Any]) -> Callable[..., bytes | None]:
    def data(bucket_name: str, key: str, version_id: str | None = None) -> bytes | None:
        body = original(bucket_name, key, version_id)
        return bytes(body) if isinstance(body, Stored) else body

    return data


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


async def _disconnected(receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
