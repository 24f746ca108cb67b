"""The WebUI's own HTTP API: `alwayson_scripts` may name Atelier, with and without the page.

For a request with no selectable script the WebUI's API makes the images at once and never asks
`ScriptRunner.run`. So a route in front of its two routes adds our own entry of that menu to a request that
switches the accordion on, and hands every request on to the route behind: its checks, its queue and its
answer are its own.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from atelier_webui.request import CHOICE, TITLE, switches

PATHS = ("/sdapi/v1/txt2img", "/sdapi/v1/img2img")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def install(app: Any) -> None:
    """Put a route of ours in front of each of the WebUI's, where it has them."""
    from starlette.routing import Route

    for path in PATHS:
        behind = next((each for each in app.router.routes if getattr(each, "path", "") == path), None)
        if behind is not None and not isinstance(behind.app, SelectingRoute):
            front = Route(path, SelectingRoute(behind), methods=["POST"], include_in_schema=False)
            app.router.routes.insert(0, front)


class SelectingRoute:
    """An ASGI app that reads a request's body, and hands it on as it is or with our entry selected."""

    def __init__(self, behind: Any) -> None:
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        body = selecting(await _read(receive))
        length = (b"content-length", str(len(body)).encode())
        headers = [each for each in scope["headers"] if each[0].lower() != b"content-length"]
        await self._behind.handle({**scope, "headers": [*headers, length]}, _replay(body, receive), send)


def selecting(body: bytes) -> bytes:
    """Return the body, with our entry selected when it switches the accordion on and selects nothing."""
    try:
        asked = json.loads(body)
    except ValueError:
        return body  # the WebUI says so itself
    if not isinstance(asked, dict) or asked.get("script_name") or not _is_on(asked.get("alwayson_scripts")):
        return body
    return json.dumps({**asked, "script_name": CHOICE, "script_args": []}).encode()


def _is_on(scripts: Any) -> bool:
    if not isinstance(scripts, Mapping):
        return False
    ours = next((value for name, value in scripts.items() if str(name).lower() == TITLE.lower()), None)
    args = ours.get("args") if isinstance(ours, Mapping) else None
    return isinstance(args, list) and switches(args[:5]).on is True


async def _read(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    unsent = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> MutableMapping[str, Any]:
        return unsent.pop() if unsent else await receive()

    return replay
