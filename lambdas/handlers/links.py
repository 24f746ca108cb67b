"""Links into the console for who operates the deployment: they name places and hold no secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from atelier.contract.api.meta import Debug

DOMAINS: Mapping[str, str] = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


def debug(event: Mapping[str, Any], context: Any) -> Debug:
    """Return where the function, this request's log and its trace are to be found."""
    _, partition, _, region, *_ = context.invoked_function_arn.split(":")
    console = f"https://{region}.{DOMAINS.get(partition, DOMAINS['aws'])}"
    group, stream = _twice(context.log_group_name), _twice(context.log_stream_name)
    watch = f"{console}/cloudwatch/home?region={region}"
    return Debug(
        function_url=f"{console}/lambda/home?region={region}#/functions/{context.function_name}",
        log_url=f"{watch}#logsV2:log-groups/log-group/{group}/log-events/{stream}",
        trace_url=f"{watch}#xray:traces/{_trace(event)}",
    )


def _twice(name: str) -> str:
    """Quote as the console does in a fragment: twice, with dollars for percents."""
    return quote(quote(name, safe=""), safe="").replace("%", "$")


def _trace(event: Mapping[str, Any]) -> str:
    """Return the trace that API Gateway's header names: Root=1-...;Self=..."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    parts = dict(part.split("=", 1) for part in headers.get("x-amzn-trace-id", "").split(";") if "=" in part)
    return quote(parts.get("Root", ""), safe="")


def api(event: Mapping[str, Any]) -> str:
    """Return where the API of a request is; relative to the request where API Gateway does not say."""
    asked = event["requestContext"]
    if not (domain := asked.get("domainName")):
        return "."
    return f"https://{domain}{str(asked['path']).rsplit('/', event['resource'].count('/'))[0]}"
