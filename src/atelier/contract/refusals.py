"""What API Gateway answers by itself, before a function or instead of one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .values import Value

EVERYWHERE = (403, 413, 429, 500, 503, 504)
"""What any operation may answer: a wrong token, a body too large, too often, our fault, not now, too late."""


class GatewayRefusal(Value):
    """What API Gateway answers by itself, before or instead of a function."""

    status: int
    message: str


FORBIDDEN = GatewayRefusal(status=403, message="Forbidden")

GATEWAY_REFUSALS: Mapping[str, GatewayRefusal] = MappingProxyType(
    {
        "ACCESS_DENIED": FORBIDDEN,
        "EXPIRED_TOKEN": FORBIDDEN,
        "INVALID_API_KEY": FORBIDDEN,
        "UNAUTHORIZED": FORBIDDEN,
        "MISSING_AUTHENTICATION_TOKEN": GatewayRefusal(status=404, message="Not Found"),
        "REQUEST_TOO_LARGE": GatewayRefusal(status=413, message="Request Entity Too Large"),
        "QUOTA_EXCEEDED": GatewayRefusal(status=429, message="Limit Exceeded"),
        "THROTTLED": GatewayRefusal(status=429, message="Too Many Requests"),
        "AUTHORIZER_FAILURE": GatewayRefusal(status=503, message="Service Unavailable"),
        "AUTHORIZER_CONFIGURATION_ERROR": GatewayRefusal(status=500, message="Internal Server Error"),
        "INTEGRATION_FAILURE": GatewayRefusal(status=503, message="Service Unavailable"),
        "INTEGRATION_TIMEOUT": GatewayRefusal(status=504, message="Endpoint request timed out"),
        "DEFAULT_5XX": GatewayRefusal(status=500, message="Internal Server Error"),
    }
)
"""API Gateway's own refusals by their kind: the templates give each ``{"message", "requestId"}``."""

CORS: Mapping[str, str] = MappingProxyType(
    {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Headers": "Authorization,Content-Type,username,x-api-key",
        "Access-Control-Allow-Methods": "DELETE,GET,OPTIONS,POST,PUT",
    }
)
"""The headers by which a browser lets any page call: whoever calls needs a token, and no cookie is one."""
