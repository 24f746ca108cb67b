"""API Gateway: permission to call a function, its limits, errors that tell nothing, and the access log."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from atelier.cloud.gateway.hooks import authorizers, calls, logs, policies
from atelier.cloud.gateway.hooks.private import replace, use

V1 = "services.apigateway_v1"
PAYLOAD = 6 * 1024 * 1024
TIMEOUT = 29.0
FAILED = 502

logger = logging.getLogger("atelier.cloud.apis")


def install(region: str, account: str) -> None:
    """Put the checks around integrations, and the log around requests."""
    calls.install()
    authorizers.install()
    place = ("integration", "api_id", "stage_name", "stage", "resource", "request_path", "method", "headers")
    rest = ("body", "query_params", "path_params", "owner_account_id", "owner_region", "binary_media_types")
    replace(
        V1,
        "_invoke_lambda_proxy_v1",
        *(*place, *rest, "authorizer_context", "caller_identity"),
        by=lambda original: _guarded(original, region, account),
    )
    replace(
        V1,
        "_handle_execute_in_scope",
        *("api_id", "stage_name", "method", "path", "headers", "body", "query_params"),
        *("owner_account_id", "owner_region"),
        by=_logged,
    )
    replace("services.cloudformation.provisioners", "_apigw_method_settings", "raw", by=_of_paths)
    use(V1, "_extract_lambda_ref_from_integration_uri", "uri")
    use(V1, "_gw_error", "response_type", "message")
    use(V1, "_match_resource_tree", "api_id", "segments")
    use(V1, "_resolve_api_key", "value")
    use(V1, "_stages_v1", checked=False)
    use(V1, "_gateway_responses", checked=False)


def _of_paths(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Read paths as templates write them: ``/~1jobs~1{id}`` is ``/jobs/{id}``."""

    def settings(raw: Any) -> Any:
        if not isinstance(raw, list):
            return original(raw)
        paths = [str(each.get("ResourcePath", "/*")) for each in raw]
        plain = ["/" + path.removeprefix("/").replace("~1", "/").lstrip("/") for path in paths]
        return original([{**each, "ResourcePath": path} for each, path in zip(raw, plain, strict=True)])

    return settings


def _guarded(
    original: Callable[..., Awaitable[Any]], region: str, account: str
) -> Callable[..., Awaitable[Any]]:
    error = use(V1, "_gw_error", checked=False)

    async def invoke(integration: Any, api_id: str, stage: str, *more: Any, **named: Any) -> Any:
        _, resource, _, method, _, body = more[:6]
        source = f"arn:aws:execute-api:{region}:{account}:{api_id}/{stage}/{method}{resource['path']}"
        if refused := _refusal(integration, source, region, account):
            logger.warning("%s may not call its function: %s", source, refused)
            return error("API_CONFIGURATION_ERROR", "Internal server error")
        if len(body or b"") > PAYLOAD:
            return error("REQUEST_TOO_LARGE", "Request Too Long")
        patience = float(integration.get("timeoutInMillis") or TIMEOUT * 1000) / 1000
        try:
            answer = await asyncio.wait_for(original(integration, api_id, stage, *more, **named), patience)
        except TimeoutError:
            return error("INTEGRATION_TIMEOUT", "Endpoint request timed out")
        if not isinstance(answer, tuple) or answer[0] != FAILED:
            return _told(answer)
        # the function's error text is in its log, and for nobody who calls the API
        if "DEFAULT_5XX" in use(V1, "_gateway_responses", checked=False).get(api_id, {}):
            return error("DEFAULT_5XX", "Internal server error")
        return FAILED, {"Content-Type": "application/json"}, b'{"message": "Internal server error"}'

    return invoke


def _told(answer: Any) -> Any:
    """Take a function's null for a body of nothing, as API Gateway does."""
    return (*answer[:2], b"") if isinstance(answer, tuple) and answer[2] is None else answer


def _refusal(integration: Mapping[str, Any], source: str, region: str, account: str) -> str | None:
    function = use(V1, "_extract_lambda_ref_from_integration_uri", checked=False)(integration.get("uri", ""))
    if not function.startswith("arn:"):
        function = f"arn:aws:lambda:{region}:{account}:function:{function}"
    role, principal = integration.get("credentials"), "apigateway.amazonaws.com"
    if role:
        if not policies.trusts(role, principal, region):
            return f"{principal} may not assume {role}"
        allowed = policies.allows_role(role, "lambda:InvokeFunction", function, region)
    else:
        allowed = policies.allows_service(principal, "lambda:InvokeFunction", function, region, source)
    return None if allowed else f"no permission for lambda:InvokeFunction on {function}"


def _logged(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def handle(
        api_id: str, stage_name: str, method: str, path: str, headers: Any, body: Any, *more: Any
    ) -> Any:
        began, call = time.time(), calls.begin()
        answer = await original(api_id, stage_name, method, path, headers, body, *more)
        stage = (use(V1, "_stages_v1", checked=False).get(api_id) or {}).get(stage_name) or {}
        asked = stage.get("accessLogSettings") or {}
        if asked.get("destinationArn") and asked.get("format"):
            known = _context(api_id, stage_name, method, path, headers or {}, answer, began)
            known |= {"requestId": call.id, "authorizer.principalId": call.principal}
            logs.append(asked["destinationArn"], stage_name, [_rendered(asked["format"], known)])
        return answer

    return handle


def _rendered(template: str, known: Mapping[str, Any]) -> str:
    return re.sub(r"\$context\.([A-Za-z_.]+)", lambda name: str(known.get(name[1]) or "-"), template)


def _context(
    api_id: str, stage: str, method: str, path: str, headers: Mapping[str, str], answer: Any, began: float
) -> dict[str, Any]:
    segments = [each for each in path.strip("/").split("/") if each]
    resource, _ = use(V1, "_match_resource_tree", checked=False)(api_id, segments)
    key = use(V1, "_resolve_api_key", checked=False)(headers.get("x-api-key"))
    content = answer[2] if isinstance(answer[2], bytes) else str(answer[2]).encode()
    moment = time.gmtime(began)
    return {
        "apiId": api_id,
        "stage": stage,
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", moment),
        "requestTimeEpoch": int(began * 1000),
        "httpMethod": method,
        "path": f"/{stage}{path}",
        "resourcePath": (resource or {}).get("path"),
        "protocol": "HTTP/1.1",
        "status": answer[0],
        "responseLength": len(content),
        "responseLatency": int((time.time() - began) * 1000),
        "identity.sourceIp": "127.0.0.1",
        "identity.userAgent": headers.get("user-agent"),
        "identity.apiKeyId": (key or {}).get("id"),
        "error.message": _message(content) if answer[0] >= 400 else None,
    }


def _message(content: bytes) -> str | None:
    try:
        return str(json.loads(content).get("message", ""))
    except (ValueError, AttributeError):
        return None
