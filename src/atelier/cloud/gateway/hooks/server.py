"""The HTTP front: which paths are open, and how our services are reached through ministack's router."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from atelier.cloud.gateway.hooks.edge import viewers
from atelier.cloud.gateway.hooks.private import replace, use

Answer = tuple[int, dict[str, str], bytes]
ServiceHandler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Answer]]
Asgi = Callable[[Any, Any, Any], Awaitable[None]]

# What ministack serves that is real without Docker. The rest pretends, so it is refused by name.
SERVED = frozenset(
    {
        *(
            "apigateway",
            "cloudformation",
            "cloudfront",
            "dynamodb",
            "dynamodbstreams",
            "events",
            "iam",
            "kms",
            "lambda",
            "logs",
        ),
        *(
            "monitoring",
            "resource-groups",
            "s3",
            "scheduler",
            "secretsmanager",
            "sns",
            "sqs",
            "ssm",
            "states",
        ),
        *("sts", "tagging"),
    }
)
HEALTH = frozenset({"/_ministack/health", "/_ministack/ready"})
CLOSED = re.compile(
    r"^/(_ministack|_localstack|_alb|iceberg|oauth2|v2|v4|latest/(meta-data|dynamic|user-data|api)|WriteGetObjectResponse)"
    r"(/|$)|^/(login|logout|health|Execute|BeginTransaction|CommitTransaction|RollbackTransaction|BatchExecute)$"
)
EXECUTE_API = re.compile(r"^([a-z0-9]+)\.execute-api\.")


def install(handlers: Mapping[str, ServiceHandler]) -> None:
    """Route the scopes of *handlers* to them, and refuse what neither we nor ministack really do."""
    known: dict[str, ServiceHandler] = use("app", "SERVICE_HANDLERS", checked=False)
    served = {name: handler for name, handler in known.items() if name in SERVED}
    replace("app", "SERVICE_HANDLERS", by=lambda _: _Handlers({**served, **handlers}), checked=False)
    # The router would load every model of botocore to tell a service that it does not know (5 s, 400 MB).
    replace("core.router", "_is_aws_service_name", "scope_name", by=lambda _: lambda scope_name: True)


class _Handlers(dict[str, ServiceHandler]):
    """Handlers by service; for what is not here, one that refuses by name."""

    def get(self, name: str, default: object = None) -> ServiceHandler:
        """Return the service's handler, or its refusal."""
        return self[name] if name in self else _refuse(name)


def application() -> Asgi:
    """Return the ASGI application: ministack's, behind our gate."""
    inner: Asgi = use("app", "app", "scope", "receive", "send")

    async def gate(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            viewer = viewers.addressed(scope)
            if viewer is None:
                await _refuse_with(send, "NoSuchDistribution", "there is no distribution of this name")
                return
            scope = _addressed_by_host(viewer)
            if _is_closed(scope["method"], scope["path"]):
                await _refuse_with(send, "AccessDeniedException", "this path is not part of the local cloud")
                return
            if _is_unsigned(scope["path"], dict(scope["headers"])):
                await _refuse_with(
                    send, "MissingAuthenticationTokenException", "Missing Authentication Token"
                )
                return
        await inner(scope, receive, send)

    return gate


def signed_by(headers: dict[str, str], query: dict[str, Any]) -> str:
    """Return the access key id that a request is signed with."""
    key: str = use("core.router", "extract_access_key_id", "headers", "query_params")(headers, query)
    return key


def signed_region(headers: dict[str, str], query: dict[str, Any]) -> str:
    """Return the region that a request is signed for."""
    region: str = use("core.router", "extract_region", "headers", "query_params")(headers, query)
    return region


def _is_closed(method: str, path: str) -> bool:
    if path in HEALTH:
        return False
    if method == "PUT" and path.startswith("/_ministack/cfn-response/"):
        return False  # custom resources answer here, by a random token
    return CLOSED.match(path) is not None


def _is_unsigned(path: str, headers: Mapping[bytes, bytes]) -> bool:
    """Say whether a JSON call carries no signature: unsigned, the router would not know whose it is."""
    if path.startswith(("/_aws/execute-api/", "/restapis/")):
        return False  # an API's callers are that API's matter
    return b"x-amz-target" in headers and not headers.get(b"authorization", b"").startswith(b"AWS4-")


async def _refuse_with(send: Any, code: str, message: str) -> None:
    body = json.dumps({"__type": code, "message": message}).encode()
    headers = [
        (b"content-type", b"application/x-amz-json-1.1"),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-errortype", code.encode()),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _addressed_by_host(scope: Any) -> Any:
    """Turn ``{api}.execute-api.{anything}`` into the path by which ministack knows an API."""
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    if not (match := EXECUTE_API.match(host.lower())):
        return scope
    prefix = f"/_aws/execute-api/{match[1]}"
    raw = scope.get("raw_path") or scope["path"].encode()
    return {**scope, "path": prefix + scope["path"], "raw_path": prefix.encode() + raw}


def _refuse(name: str) -> ServiceHandler:
    response = use(
        "core.iam_actions",
        "access_denied_response",
        *("service", "action", "principal_arn", "request_id", "error_code", "message", "headers"),
        *("resource_arn", "explicit_deny", "resource_policy_arn"),
    )

    async def refuse(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Answer:
        message = f"{name} is not part of the local cloud"
        refused = response(
            name, "", "", "", error_code="UnsupportedOperation", message=message, headers=headers
        )
        return 400, refused[1], refused[2]

    return refuse
