"""The published API: ask the model, as anyone on the internet would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from atelier.client.errors import NotDeployed, Problem, Refusal
from atelier.client.outputs import PREFIX, outputs

if TYPE_CHECKING:
    from atelier.client.session import Clients

SERVING_STACK = "serving-api"
PATH = "completions"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
TIMEOUT = 60.0


@dataclass(frozen=True, kw_only=True)
class Api:
    """The published API: where it is, and which key opens it (the value stays out of every text)."""

    url: str
    key_id: str
    key: str = field(repr=False)


def published(clients: Clients, prefix: str = PREFIX) -> Api:
    """Find the API and its key; raise NotDeployed before the first model was approved."""
    stack = f"{prefix}-{SERVING_STACK}"
    try:
        found = outputs(clients, stack)
    except NotDeployed as error:
        raise NotDeployed(
            f"no model is published in {clients.where}: approve one first (`atelier pipeline show`)"
        ) from error
    key = clients.apigateway.get_api_key(apiKey=found["ApiKeyId"], includeValue=True)
    return Api(url=f"{_base(clients, found)}/{PATH}", key_id=found["ApiKeyId"], key=key["value"])


def _base(clients: Clients, found: Mapping[str, str]) -> str:
    """Return where the API answers: at its own address, or below the local cloud's."""
    if clients.endpoint is None:
        return found["ApiUrl"]
    return f"{clients.endpoint}/_aws/execute-api/{found['ApiId']}/{found['ApiStage']}"


def complete(api: Api, request: Mapping[str, Any], *, timeout: float = TIMEOUT) -> dict[str, Any]:
    """Ask for a completion; raise Refusal with the API's own words."""
    call = urllib.request.Request(
        api.url,
        data=json.dumps(request).encode(),
        headers={"Content-Type": "application/json", "x-api-key": api.key},
        method="POST",
    )
    try:
        with opener(api.url).open(call, timeout=timeout) as answer:
            document: dict[str, Any] = json.load(answer)
            return document
    except urllib.error.HTTPError as error:
        with error:
            raise Refusal(f"{api.url} answered {error.code}: {message(error.read())}") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise Problem(f"{api.url} cannot be reached: {reason}. Is the local cloud up?") from error
    except ValueError as error:
        raise Problem(f"{api.url} answered with something that is not JSON") from error


def opener(url: str) -> urllib.request.OpenerDirector:
    """Return an opener that goes straight to this machine, and through the user's proxy elsewhere."""
    host = urlsplit(url).hostname or ""
    direct = host in LOOPBACK or host.startswith("127.")
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if direct else []))


def message(body: bytes) -> str:
    """Return what the body of a refusal says."""
    try:
        document = json.loads(body)
        return str(document.get("message") or document.get("error") or document)
    except (ValueError, AttributeError):
        return body.decode(errors="replace").strip()[:300] or "nothing"
