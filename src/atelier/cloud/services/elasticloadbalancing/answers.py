"""What a load balancer answers by itself, word for word as AWS's do."""

from __future__ import annotations

from aiohttp import web

SERVER = "awselb/2.0"

REASONS = {
    400: "Bad Request",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}

ADDED = ("Server", "Content-Type")
"""Headers that aiohttp would put into an answer that has none."""


class Passed(web.StreamResponse):
    """A target's answer: nothing is added to what it says."""

    async def _prepare_headers(self) -> None:
        said = [name for name in ADDED if name in self.headers]
        await super()._prepare_headers()
        for name in ADDED:
            if name not in said:
                self.headers.popall(name, None)


def page(status: int) -> web.Response:
    """Return the page of an error."""
    title = f"{status} {REASONS.get(status, 'Error')}"
    text = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    return web.Response(
        status=status,
        reason=title.partition(" ")[2],
        headers={"Server": SERVER, "Content-Type": "text/html"},
        body=text.encode(),
    )


def fixed(config: dict[str, str]) -> web.Response:
    """Return a fixed response."""
    return web.Response(
        status=int(config["StatusCode"]),
        headers={
            "Server": SERVER,
            "Content-Type": config.get("ContentType", "text/plain") + "; charset=utf-8",
        },
        body=config.get("MessageBody", "").encode(),
    )


def moved(status: int, location: str) -> web.Response:
    """Return a redirect."""
    answer = page(status)
    answer.set_status(status, {301: "Moved Permanently", 302: "Found"}[status])
    answer.headers["Location"] = location
    return answer
