"""The hooks: bodies of objects go to and from disk, all else stays ministack's.

What ministack calls a body is here one of three: `Arriving` until the request is authorised, then `bytes`
when it is small, else `Stored`. ministack's functions that look into a body learn to take a `Stored`.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from atelier.cloud.gateway.hooks.objects import aside, checksums, kept, leaving, multipart
from atelier.cloud.gateway.hooks.objects.arriving import Arriving, Connection
from atelier.cloud.gateway.hooks.objects.framing import Seal
from atelier.cloud.gateway.hooks.objects.refused import Answer, Refused
from atelier.cloud.gateway.hooks.objects.routes import is_content
from atelier.cloud.gateway.hooks.private import replace, use

S3 = "services.s3"
logger = logging.getLogger("atelier.cloud.objects")

# Whether what is being answered came over HTTP, and its body may go out piece by piece.
_over_http: contextvars.ContextVar[bool] = contextvars.ContextVar("over_http", default=False)


def install(folder: Path) -> None:
    """Keep large bodies out of memory; *folder* holds what is on its way, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)  # what a kill left
    folder.mkdir(mode=0o700, parents=True)
    _receive(folder)
    kept.install(folder)
    multipart.install(folder)
    leaving.install(_over_http.get)


def _receive(folder: Path) -> None:
    replace("app", "app", "scope", "receive", "send", by=_front)
    replace("app", "_read_request_body", "receive", "method", "headers", by=_later)
    replace("core.sigv4", "_chunk_signatures_match", "body", "seed", "signature", "key", by=_chain)
    replace(
        S3,
        "handle_request",
        *("method", "path", "headers", "body", "query_params", "signed_path", "enforce_bucket_region"),
        *("internal", "access_point_region", "access_point"),
        by=lambda original: _authorised_first(original, folder),
    )


def _front(
    original: Callable[[Any, Any, Any], Awaitable[None]],
) -> Callable[[Any, Any, Any], Awaitable[None]]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if not is_content(scope):
            await original(scope, receive, send)
            return
        connection = Connection(receive)

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                await connection.drain()
            await send(message)

        await original(scope, connection, answer)

    return app


def _later(original: Callable[[Any, str, dict[str, str]], Awaitable[bytes]]) -> Any:
    """Leave an object's body on the connection until its sender is known."""
    pin = use("app", "pin_signed_body", "body")

    async def read(receive: Any, method: str, headers: dict[str, str]) -> bytes:
        if not isinstance(receive, Connection):
            return await original(receive, method, headers)
        body = Arriving.on(receive)
        pin(body)
        return body

    return read


def _chain(original: Callable[..., bool]) -> Callable[..., bool]:
    """Leave the signatures of chunks to whoever reads them: here it is known with what to check."""

    def match(body: bytes, seed: str, signature: Any, key: bytes) -> bool:
        if not isinstance(body, Arriving):
            return original(body, seed, signature, key)
        scope = f"{signature.date_stamp}/{signature.region}/{signature.service}/aws4_request"
        body.seal = Seal(seed, key, signature.amz_date, scope)
        return True

    return match


def _authorised_first(
    original: Callable[..., Coroutine[Any, Any, Answer]], folder: Path
) -> Callable[..., Awaitable[Answer]]:
    presigned = use(S3, "_verify_presigned_sigv4", "method", "path", "headers", "query_params")

    async def handle(
        method: str, path: str, headers: dict[str, str], body: Any, query_params: dict[str, Any], **rest: Any
    ) -> Answer:
        if not isinstance(body, Arriving):
            asked = functools.partial(original, method, path, headers, body, query_params, **rest)
            return await (aside.answered(asked) if _is_slow(method, headers, query_params) else asked())
        if refused := presigned(method, rest.get("signed_path") or path, headers, query_params):
            return refused  # type: ignore[no-any-return]
        try:
            content = await body.read(headers, _algorithms(headers, query_params), folder)
        except Refused as refusal:
            return refusal.answer()
        except OSError:
            logger.exception("could not take in a body")
            return Refused(
                "InternalError", "We encountered an internal error. Please try again.", 500
            ).answer()
        token = _over_http.set(True)
        try:
            return await original(method, path, headers, content, query_params, **rest)
        finally:
            _over_http.reset(token)

    return handle


def _is_slow(method: str, headers: dict[str, str], query: dict[str, Any]) -> bool:
    """Say whether a request reads or joins content on disk, for seconds; a plain copy is only a link."""
    if method == "POST":
        return "uploadId" in query
    named = {*headers, *query}
    hashes = "uploadId" in query or any(name.startswith(("x-amz-checksum-", "x-amz-sdk-")) for name in named)
    return method == "PUT" and "x-amz-copy-source" in named and hashes


def _algorithms(headers: dict[str, str], query: dict[str, Any]) -> Iterable[str]:
    """Return the checksums that this upload will be asked for."""
    told = [*headers.get("x-amz-trailer", "").split(","), *headers]
    for name in told:
        yield checksums.canonical(name.strip().removeprefix("x-amz-checksum-"))
    for source in (
        headers.get("x-amz-sdk-checksum-algorithm"),
        *query.get("x-amz-sdk-checksum-algorithm", []),
    ):
        yield checksums.canonical(source or "")
    upload = use(S3, "_multipart_uploads", checked=False).get((query.get("uploadId") or [""])[0]) or {}
    yield upload.get("checksum_algorithm") or ""
