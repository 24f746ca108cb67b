"""What a request means to IAM, where ministack says less than AWS: log streams and metric namespaces."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from atelier.cloud.gateway.hooks.private import replace

ACTIONS = "core.iam_actions"

# Authorised on the stream, so that a policy names a group as GetAtt returns it: ``log-group:NAME:*``.
# Source: https://docs.aws.amazonaws.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
ON_STREAMS = frozenset({"CreateLogStream", "DeleteLogStream", "GetLogEvents", "PutLogEvents"})


def install() -> None:
    """Put our reading in the place of ministack's."""
    replace(
        ACTIONS,
        "extract_resource_arn",
        *("service", "method", "path", "headers", "body", "query_params", "region", "account_id"),
        by=_with_streams,
    )
    replace(
        ACTIONS,
        "request_tag_context",
        *("service", "iam_action", "body", "params"),
        by=_with_namespaces,
    )


def _with_streams(original: Callable[..., str]) -> Callable[..., str]:
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
        arn = original(service, method, path, headers, body, query_params, region, account_id)
        if service == "logs" and headers.get("x-amz-target", "").rpartition(".")[2] in ON_STREAMS:
            return f"{arn}:log-stream:{_document(body).get('logStreamName', '')}"
        return arn

    return extract


def _with_namespaces(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def context(
        service: str, iam_action: str, body: bytes, params: Mapping[str, list[str]]
    ) -> dict[str, Any]:
        found = original(service, iam_action, body, params)
        if iam_action == "cloudwatch:PutMetricData":
            namespace = _document(body).get("Namespace") or (params.get("Namespace") or [""])[0]
            return {**found, "cloudwatch:namespace": namespace}
        return found

    return context


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
