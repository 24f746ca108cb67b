"""Which requests carry an object's content, told as ministack's own routing tells it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from atelier.cloud.gateway.hooks.private import use

# What is asked of an object besides its content.
ASPECTS = frozenset({"annotation", "tagging", "retention", "legal-hold", "acl", "attributes"})
# Paths that ministack takes before it thinks of S3.
ELSEWHERE = ("/_aws/", "/_ministack/", "/restapis/", "/v20180820/", "/key-value-stores/")
SCOPE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/s3/aws4_request")

Query = Mapping[str, list[str]]


def is_content(scope: Any) -> bool:
    """Say whether a request puts or gets an object's content."""
    if scope["type"] != "http" or scope["method"] not in {"PUT", "GET"}:
        return False
    path: str = scope["path"]
    if path.startswith(ELSEWHERE):
        return False
    headers = _headers(scope)
    query = parse_qs(scope.get("query_string", b"").decode("utf-8", "replace"), keep_blank_values=True)
    if ASPECTS & query.keys() or "x-amz-copy-source" in headers or "x-amz-copy-source" in query:
        return False
    bucket_in_host = _vhost(headers.get("host", ""))
    if not (path.strip("/") if bucket_in_host else path.lstrip("/").partition("/")[2]):
        return False
    if bucket_in_host:
        return _signed_for_s3(headers, query)
    detect = use("core.router", "detect_service", "method", "path", "headers", "query_params")
    return bool(detect(scope["method"], path, headers, query) == "s3") and _says_its_hash(headers)


def _headers(scope: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _vhost(host: str) -> bool:
    return bool(use("app", "_extract_s3_vhost_bucket", "host")(host))


def _signed_for_s3(headers: Mapping[str, str], query: Query) -> bool:
    """Say whether the signature is for S3: hosts of other services look like buckets."""
    if SCOPE.search(headers.get("authorization", "")):
        return "x-amz-content-sha256" in headers
    credential = query.get("X-Amz-Credential", [""])[0].split("/")
    return (len(credential) == 5 and credential[3] == "s3") or {"AWSAccessKeyId", "Signature"} <= query.keys()


def _says_its_hash(headers: Mapping[str, str]) -> bool:
    """Say whether a signature can be checked before the body is there."""
    return "x-amz-content-sha256" in headers or not headers.get("authorization", "").startswith("AWS4-")
