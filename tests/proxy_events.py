"""Requests as API Gateway hands them to functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from atelier.contract.operations import Operation


def proxied(
    operation: Operation,
    *,
    authorizer: Mapping[str, Any],
    headers: Mapping[str, str],
    path: Mapping[str, str],
    query: Mapping[str, list[str]] | None = None,
    body: Any = None,
) -> dict[str, Any]:
    """Return the event of a request; *authorizer* is what API Gateway's own one has said of its token."""
    return {
        "resource": operation.path,
        "path": operation.path.format(**path),
        "httpMethod": operation.method,
        "headers": dict(headers),
        "multiValueQueryStringParameters": query or None,
        "queryStringParameters": None,
        "pathParameters": dict(path) or None,
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
        "requestContext": {
            "requestId": "q1",
            "path": f"/prod{operation.path}",
            "stage": "prod",
            "authorizer": dict(authorizer),
        },
    }
