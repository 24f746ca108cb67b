"""How the registry's front reads and answers over ASGI."""

from __future__ import annotations

import json

from atelier.cloud.engines.relay import Body, Receive, Send
from atelier.cloud.services.ecr.entrance import Refusal
from atelier.cloud.services.ecr.storage import MANIFEST_BYTES

JSON = "application/json"


async def reply(
    send: Send, status: int, body: bytes, kind: str, *, head: bool = False, **headers: str
) -> None:
    """Send a whole answer; of a HEAD, everything but the body."""
    named = {"content_type": kind, "content_length": str(len(body)), **headers}
    named["docker_distribution_api_version"] = "registry/2.0"
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def refuse(send: Send, refusal: Refusal, *, head: bool = False) -> None:
    """Send an error in the protocol's form."""
    document = {"errors": [{"code": refusal.code, "message": str(refusal)}]}
    await reply(send, refusal.status, json.dumps(document).encode(), JSON, head=head, **refusal.headers)


async def read(body: Body) -> bytes:
    """Return a request's whole body; refuse more than a manifest may have."""
    whole = b""
    async for part in body.parts():
        whole += part
        if len(whole) > MANIFEST_BYTES:
            raise Refusal(413, "MANIFEST_INVALID", f"a manifest has at most {MANIFEST_BYTES} bytes")
    return whole


async def lifespan(receive: Receive, send: Send) -> None:
    """Tell the server that nothing has to be prepared or ended."""
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})
