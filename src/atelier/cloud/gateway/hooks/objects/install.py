"""The hooks: bodies of objects go to and from disk, all else stays ministack's.

What ministack calls a body is here one of three: `Arriving` until the request is authorised, then `bytes`
when it is small, else `Stored`. ministack's functions that look into a body learn to take a `Stored`.
"""

from __future__ import annotations

import asyncio
import base64
import contextvars
import functools
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from atelier.cloud.gateway.hooks.objects import checksums, leaving, multipart
from atelier.cloud.gateway.hooks.objects.arriving import Arriving, Connection
from atelier.cloud.gateway.hooks.objects.framing import Refused, Seal
from atelier.cloud.gateway.hooks.objects.routes import is_content
from atelier.cloud.gateway.hooks.objects.stored import LARGE, Stored
from atelier.cloud.gateway.hooks.private import replace, use

S3 = "services.s3"
Answer = tuple[int, dict[str, str], Any]

COPIERS = ThreadPoolExecutor(2, thread_name_prefix="objects-copy")

# Whether what is being answered came over HTTP, and its body may go out piece by piece.
_over_http: contextvars.ContextVar[bool] = contextvars.ContextVar("over_http", default=False)


def install(folder: Path) -> None:
    """Keep large bodies out of memory; *folder* holds what is on its way, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)  # what a kill left
    folder.mkdir(mode=0o700, parents=True)
    _receive(folder)
    _digest()
    _keep(folder)
    _answer()
    multipart.install(folder, _error)


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
            return await (_aside(asked) if _is_copy(method, headers, query_params) else asked())
        if refused := presigned(method, rest.get("signed_path") or path, headers, query_params):
            return refused  # type: ignore[no-any-return]
        try:
            content = await body.read(headers, _algorithms(headers, query_params), folder)
        except Refused as refusal:
            return _error(refusal.code, str(refusal), refusal.status)
        token = _over_http.set(True)
        try:
            return await original(method, path, headers, content, query_params, **rest)
        finally:
            _over_http.reset(token)

    return handle


def _is_copy(method: str, headers: dict[str, str], query: dict[str, Any]) -> bool:
    """Say whether a request moves content about on disk, which may take seconds."""
    if method == "PUT":
        return "x-amz-copy-source" in headers or "x-amz-copy-source" in query
    return method == "POST" and "uploadId" in query


async def _aside(asked: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """Answer off the event loop, where other calls go on meanwhile."""
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(COPIERS, context.run, lambda: asyncio.run(asked()))


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


def _error(code: str, message: str, status: int) -> Answer:
    make = use(S3, "_error", "code", "message", "status", "resource", "extra", "headers")
    answer: Answer = make(code, message, status)
    return answer


def _digest() -> None:
    replace(S3, "md5_hash", "data", by=_md5)
    replace(S3, "_compute_s3_checksum", "algorithm", "body", by=_checksum)
    replace(S3, "_validate_content_md5", "headers", "body", by=_content_md5)


def _md5(original: Callable[[bytes], str]) -> Callable[[Any], str]:
    return lambda data: data.digest("MD5").hex() if isinstance(data, Stored) else original(data)


def _checksum(original: Callable[[str, bytes], str | None]) -> Callable[[str, Any], str | None]:
    def compute(algorithm: str, body: Any) -> str | None:
        name = checksums.canonical(algorithm or "")
        if not isinstance(body, Stored) or name not in checksums.ALGORITHMS:
            return original(algorithm, b"" if isinstance(body, Stored) else body)
        return base64.b64encode(body.digest(name)).decode()

    return compute


def _content_md5(original: Callable[[dict[str, str], bytes], Any]) -> Callable[[dict[str, str], Any], Any]:
    def validate(headers: dict[str, str], body: Any) -> Any:
        given = headers.get("content-md5", "")
        if not given or not isinstance(body, Stored):
            return original(headers, body)
        if given == base64.b64encode(body.digest("MD5")).decode():
            return None
        refused = original(headers, b"")
        return refused or _error(
            "BadDigest", "The Content-MD5 you specified did not match what we received.", 400
        )

    return validate


def _keep(folder: Path) -> None:
    replace(S3, "_atomic_write", "fpath", "data", "text", by=lambda original: _placed(original, folder))
    replace(S3, "_read_body", "bucket_name", "key", "obj", by=_left_on_disk)
    replace(S3, "_version_entry_from_record", "obj", "version_id", "data", by=_without_content)
    replace(S3, "_version_body", "bucket", "bucket_name", "key", "v", by=_version_left_on_disk)


def _placed(original: Callable[..., None], folder: Path) -> Callable[..., None]:
    def write(fpath: str, data: Any, *, text: bool = False) -> None:
        if isinstance(data, Stored):
            data.place(Path(fpath), folder)
        else:
            original(fpath, data, text=text)

    return write


def _left_on_disk(original: Callable[..., Any]) -> Callable[..., Any]:
    where = use(S3, "_object_disk_path", "bucket", "key", "account_id")

    def read(bucket_name: str, key: str, obj: dict[str, Any]) -> Any:
        if obj.get("body") is None and obj.get("size", 0) >= LARGE:
            return Stored.at(Path(where(bucket_name, key)))
        return original(bucket_name, key, obj)

    return read


def _without_content(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let a version's content stay where it is on disk."""
    return lambda obj, version_id, data: original(obj, version_id, None if isinstance(data, Stored) else data)


def _version_left_on_disk(original: Callable[..., Any]) -> Callable[..., Any]:
    where = use(S3, "_version_disk_path", "bucket", "key", "version_id", "account_id")

    def body(bucket: dict[str, Any], bucket_name: str, key: str, v: dict[str, Any]) -> Any:
        path = where(bucket_name, key, v["version_id"])
        if v.get("data") is None and v.get("size", 0) >= LARGE and path and Path(path).is_file():
            return Stored.at(Path(path))
        return original(bucket, bucket_name, key, v)

    return body


def _answer() -> None:
    replace(S3, "_get_object", "bucket_name", "key", "headers", "query_params", by=_streamed_over_http)
    replace(S3, "_get_object_data", "bucket_name", "key", "version_id", by=_in_memory)


def _streamed_over_http(original: Callable[..., Answer]) -> Callable[..., Answer]:
    streaming = use("core.responses", "StreamingResponse", "runner")

    def get(bucket_name: str, key: str, headers: dict[str, str], query_params: Any = None) -> Answer:
        status, answered, body = original(bucket_name, key, headers, query_params)
        if not isinstance(body, Stored):
            return status, answered, body
        return status, answered, streaming(leaving.sender(body)) if _over_http.get() else bytes(body)

    return get


def _in_memory(original: Callable[..., Any]) -> Callable[..., bytes | None]:
    """Give other services plain bytes: what they read they need whole."""

    def data(bucket_name: str, key: str, version_id: str | None = None) -> bytes | None:
        body = original(bucket_name, key, version_id)
        return bytes(body) if isinstance(body, Stored) else body

    return data
