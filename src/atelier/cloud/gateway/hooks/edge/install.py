"""CloudFront's API, as far as it is real here: what CloudFormation has made can be read, and invalidated."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from atelier.cloud.gateway.hooks.edge import viewers
from atelier.cloud.gateway.hooks.edge.cache import Cache
from atelier.cloud.gateway.hooks.private import replace, use

CLOUDFRONT = viewers.CLOUDFRONT
READ = re.compile(
    r"^/2020-05-31/(distribution(/[^/]+(/config|/invalidation(/[^/]+)?)?)?"
    r"|(origin-access-control|response-headers-policy|cache-policy)(/[^/]+(/config)?)?|tagging)/?$"
)
INVALIDATE = re.compile(r"^/2020-05-31/distribution/[^/]+/invalidation/?$")
MOST_PATHS = 3_000

Answer = tuple[int, dict[str, str], bytes]


def install() -> None:
    """Serve distributions, and refuse by name the parts of CloudFront that would only pretend."""
    kept = Cache()
    viewers.install(kept)
    replace(
        CLOUDFRONT,
        "handle_request",
        *("method", "path", "headers", "body", "query_params"),
        by=_only_what_is_real,
    )
    replace(
        CLOUDFRONT, "_create_invalidation", "dist_id", "body", by=lambda original: _forgetting(original, kept)
    )


def _only_what_is_real(original: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
    refusal = use(CLOUDFRONT, "_error", "code", "message", "status")

    async def handle(method: str, path: str, headers: Any, body: bytes, query_params: Any) -> Answer:
        if (READ if method == "GET" else INVALIDATE if method == "POST" else re.compile("$^")).match(path):
            return await original(method, path, headers, body, query_params)
        told = f"CloudFront's {method} {path} is not part of the local cloud: change it by CloudFormation"
        return refusal("UnsupportedOperation", told, 400)  # type: ignore[no-any-return]

    return handle


def _forgetting(original: Callable[[str, bytes], Answer], kept: Cache) -> Callable[[str, bytes], Answer]:
    """Drop what an invalidation names; by the time it is answered, it is done."""
    refusal = use(CLOUDFRONT, "_error", checked=False)
    parse = use(CLOUDFRONT, "_parse_body", "body")

    def create(dist_id: str, body: bytes) -> Answer:
        root = parse(body)
        paths = (
            [each.text or "" for each in root.iter() if each.tag.rpartition("}")[2] == "Path"]
            if root is not None
            else []
        )
        if refused := refused_paths(paths):
            return refusal("InvalidArgument", refused, 400)  # type: ignore[no-any-return]
        answer = original(dist_id, body)
        if answer[0] == 201:
            dist = use(CLOUDFRONT, "_distributions", checked=False)[dist_id]
            kept.forget(dist["ARN"], paths)
        return answer

    return create


def refused_paths(paths: list[str]) -> str | None:
    """Say what is wrong with the paths of an invalidation, as CloudFront would."""
    if not paths:
        return "Your request contains no invalidation paths."
    if len(paths) > MOST_PATHS:
        return f"Your request contains more than {MOST_PATHS} invalidation paths."
    if wrong := [each for each in paths if not each.startswith("/") or "*" in each[:-1]]:
        return f"Your request contains one or more invalid invalidation paths: {wrong[0]}"
    return None
