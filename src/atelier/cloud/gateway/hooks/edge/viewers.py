"""Requests of viewers: enabled distributions, origins that an access control signs for, compressed text."""

from __future__ import annotations

import contextvars
import gzip
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from atelier.cloud.gateway.hooks.edge import cache
from atelier.cloud.gateway.hooks.private import replace, use

CLOUDFRONT = "services.cloudfront"
FETCH = (
    *("origin", "method", "uri", "query_string", "headers", "body"),
    *("viewer_is_https", "client_ip", "viewer_xff", "dist_arn"),
)
VIEW = (
    *("dist", "method", "path", "raw_uri", "raw_query_string", "headers", "body", "query_params"),
    "client_ip",
)
CONDITIONS = frozenset({"if-none-match", "if-modified-since", "if-match", "if-unmodified-since"})
HOST = re.compile(r"^([a-z0-9]+)\.cloudfront\.(?:localhost|net)(:\d+)?$")
TEXT = re.compile(r"^(text/|application/(javascript|json|xml|rss\+xml)|image/svg\+xml|font/ttf)")
COMPRESSED_FROM, COMPRESSED_TO = 1_000, 10_000_000

Response = tuple[int, dict[str, str], Any]
_is_hit: contextvars.ContextVar[bool] = contextvars.ContextVar("is_hit", default=False)


def install(kept: cache.Cache) -> None:
    """Put the cache before the origins, and ourselves before ministack's answers."""
    replace(CLOUDFRONT, "_fetch_from_origin", *FETCH, by=lambda original: _cached(original, kept))
    replace(CLOUDFRONT, "handle_viewer_request", *VIEW, by=_viewed)
    replace(
        CLOUDFRONT,
        "_serve_s3_origin",
        *("origin", "method", "uri", "headers", "dist_arn"),
        by=_signed,
    )
    replace(
        CLOUDFRONT,
        "_add_cloudfront_headers",
        *("headers", "x_cache", "request_id", "edge_server"),
        by=_told,
    )
    use(CLOUDFRONT, "_dist_config_el", "dist")
    use(CLOUDFRONT, "find_distribution_for_label", "label")


def addressed(scope: Any) -> Any | None:
    """Return a request as ministack knows the distribution that its host names; None when there is none."""
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    if not (found := HOST.match(host.lower())):
        return scope
    if not use(CLOUDFRONT, "find_distribution_for_label", checked=False)(found[1]):
        return None
    name = f"{found[1]}.cloudfront.net".encode()
    headers = [(key, name if key == b"host" else value) for key, value in scope["headers"]]
    return {**scope, "headers": headers}


def _viewed(original: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    refused = use(CLOUDFRONT, "_cf_error_response", "status", "explanation", "x_cache")

    async def view(
        dist: Mapping[str, Any],
        method: str,
        path: str,
        raw_uri: str,
        raw_query_string: str,
        headers: Mapping[str, str],
        *rest: Any,
    ) -> Response:
        if not dist.get("enabled"):
            return refused(403, "The distribution is disabled.", "Error from cloudfront")  # type: ignore[no-any-return]
        # nothing leaves this machine: a request over loopback counts as secure, as for S3's policies
        secure = {**headers, "x-forwarded-proto": "https"}
        mark = _is_hit.set(False)
        try:
            answer = await original(dist, method, path, raw_uri, raw_query_string, secure, *rest)
        finally:
            _is_hit.reset(mark)
        accepted = "gzip" in headers.get("accept-encoding", "").lower()
        return compressed(answer) if accepted and _compresses(dist) else answer

    return view


def _compresses(dist: Mapping[str, Any]) -> bool:
    config = use(CLOUDFRONT, "_dist_config_el", checked=False)(dist)
    return any(
        each.tag.endswith("DefaultCacheBehavior")
        and any(inner.tag.endswith("Compress") and inner.text == "true" for inner in each)
        for each in config
    )


def compressed(answer: Response) -> Response:
    """Return an answer compressed, where it is text of a size for which CloudFront does so."""
    status, headers, body = answer
    told = {name.lower(): value for name, value in headers.items()}
    is_text = TEXT.match(told.get("content-type", ""))
    if status != 200 or not is_text or "content-encoding" in told or not isinstance(body, bytes):
        return answer
    if not COMPRESSED_FROM <= len(body) <= COMPRESSED_TO:
        return answer
    rest = {name: value for name, value in headers.items() if name.lower() != "content-length"}
    for name in rest:
        if name.lower() == "etag" and not rest[name].startswith("W/"):
            rest[name] = f"W/{rest[name]}"
    return (
        status,
        {**rest, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"},
        gzip.compress(body, 6, mtime=0),
    )


def _cached(original: Callable[..., Awaitable[Any]], kept: cache.Cache) -> Callable[..., Awaitable[Any]]:
    async def fetch(
        origin: Any, method: str, uri: str, query: str, headers: dict[str, str], body: bytes, *rest: Any
    ) -> Any:
        arn = str(rest[-1])
        if method not in {"GET", "HEAD"} or "range" in headers:
            return await original(origin, method, uri, query, headers, body, *rest)
        _is_hit.set(False)
        found = kept.get(arn, uri)
        if found is None:
            turn = kept.turn(arn)
            plain = {name: value for name, value in headers.items() if name not in CONDITIONS}
            asked = await original(origin, "GET", uri, query, plain, body, *rest)
            answer = cache.Answer(status=asked[0], reason=asked[1], headers=asked[2], body=bytes(asked[3]))
            bounds, failures = _policy(arn)
            how_long = cache.seconds(answer, bounds, failures, time.time())
            kept.keep(arn, uri, answer, seconds=how_long, turn=turn)
            return _answered(answer, method, headers, {})
        _is_hit.set(True)
        return _answered(found[0], method, headers, {"age": str(found[1])})

    return fetch


def _answered(
    answer: cache.Answer, method: str, asked: Mapping[str, str], more: Mapping[str, str]
) -> tuple[int, str, dict[str, str], bytes]:
    headers = {**answer.headers, **more}
    if answer.status == 200 and _is_current(asked.get("if-none-match", ""), headers.get("etag", "")):
        headers.pop("content-length", None)
        return 304, "Not Modified", headers, b""
    return answer.status, answer.reason, headers, b"" if method == "HEAD" else answer.body


def _is_current(asked: str, etag: str) -> bool:
    """Say whether a viewer has what is kept; a compressed answer has a weak tag of the same value."""
    return bool(etag) and etag in {each.strip().removeprefix("W/") for each in asked.split(",")}


def _policy(arn: str) -> tuple[cache.Bounds, dict[int, int]]:
    """Return how long a distribution keeps answers and errors."""
    store = use(CLOUDFRONT, "_distributions", checked=False)
    config = use(CLOUDFRONT, "_dist_config_el", checked=False)(store[arn.rpartition("/")[2]])
    texts = {each.tag.rpartition("}")[2]: each.text or "" for each in config.iter()}
    failures: dict[int, int] = {}
    for each in config.iter():
        if each.tag.rpartition("}")[2] == "CustomErrorResponse":
            told = {inner.tag.rpartition("}")[2]: inner.text or "" for inner in each}
            failures[int(told["ErrorCode"])] = int(told.get("ErrorCachingMinTTL") or 10)
    return cache.POLICIES[texts["CachePolicyId"]], failures


def _signed(original: Callable[..., Any]) -> Callable[..., Any]:
    """Have an origin read as the distribution only while its access control is there, and signs."""

    def serve(origin: dict[str, Any], method: str, uri: str, headers: Any, dist_arn: str = "") -> Any:
        control = use(CLOUDFRONT, "_oacs", checked=False).get(origin.get("oac_id"))
        signs = control is not None and control["SigningBehavior"] != "never"
        return original(origin if signs else {**origin, "oac_id": ""}, method, uri, headers, dist_arn)

    return serve


def _told(original: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    """Say of an answer from the cache that it is one."""

    def add(
        headers: dict[str, str], x_cache: str, request_id: str | None = None, edge_server: bool = True
    ) -> dict[str, str]:
        is_hit = _is_hit.get() and x_cache.startswith("Miss")
        return original(headers, "Hit from cloudfront" if is_hit else x_cache, request_id, edge_server)

    return add
