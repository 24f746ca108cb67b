"""A request passed on to a target, and the answer back: both bodies streamed, connections kept."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from atelier.cloud.services.elasticloadbalancing import answers
from atelier.cloud.services.elasticloadbalancing.exchange import GONE, Exchange
from atelier.cloud.services.elasticloadbalancing.pool import Target

CONNECT = 10.0
"""Seconds in which a target has to take a connection."""

# What belongs to one connection, and not to the message.
OWN = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "expect"}
    | {"transfer-encoding", "http2-settings"}
)
INVALID = re.compile(r"[^-A-Za-z0-9]")


@dataclass(frozen=True)
class Manner:
    """How a load balancer's attributes let it speak to targets."""

    idle: float
    forwarded: str = "append"
    """What becomes of X-Forwarded-For: ``append``, ``preserve`` or ``remove``."""
    shows_client_port: bool = False
    drops_invalid: bool = False
    tells_tls: bool = False


class Pass:
    """One request on its way through."""

    def __init__(self, request: web.BaseRequest, exchange: Exchange, manner: Manner) -> None:
        self._request, self._exchange, self._manner = request, exchange, manner
        self._answer: web.StreamResponse | None = None
        self._is_over, self._is_gone = False, False

    async def to(
        self, session: aiohttp.ClientSession, target: Target, *, scheme: str, port: int
    ) -> web.StreamResponse:
        """Let a target answer; what fails before it began is an error's page, later the connection breaks."""
        limit = asyncio.timeout(None)
        try:
            async with limit:
                with target.taken(limit):
                    return await self._exchanged(session, target, scheme, port)
        except TimeoutError:
            if limit.expired():
                return self._failed(502, "DeregistrationDelayElapsed")
            return self._failed(504, "TargetTimeout")
        except (aiohttp.ClientError, OSError, ValueError):
            return self._failed(502, "TargetConnectionError")
        except asyncio.CancelledError:
            self._exchange.status = GONE
            raise

    def _failed(self, status: int, reason: str) -> web.StreamResponse:
        if self._is_gone:
            return self._broken(GONE)
        self._exchange.error = reason
        if self._answer is not None:  # half an answer is on its way: only a break tells the client
            return self._broken(self._answer.status)
        answer = answers.page(status)
        if not self._is_over and self._request.can_read_body:
            answer.force_close()
        return answer

    def _broken(self, status: int) -> web.StreamResponse:
        """Break the connection; what is returned does not reach anybody."""
        self._exchange.status = status
        if self._request.transport is not None:
            self._request.transport.abort()
        return self._answer or answers.page(502)

    async def _exchanged(
        self, session: aiohttp.ClientSession, target: Target, scheme: str, port: int
    ) -> web.StreamResponse:
        request, idle = self._request, self._manner.idle
        asked = session.request(
            request.method,
            URL(f"http://{target.id}:{target.port}{asked_for(request)}", encoded=True),
            headers=self._headers(scheme, port),
            data=self._body() if request.can_read_body else None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=idle),
        )
        self._exchange.reached = self._exchange.since()
        async with asked as answer:
            self._exchange.worked = self._exchange.since() - self._exchange.reached
            self._exchange.target_status = answer.status
            return await self._back(answer)

    async def _body(self) -> AsyncIterator[bytes]:
        if self._request.headers.get("Expect", "").lower() == "100-continue":
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            async for part in self._request.content.iter_any():
                self._exchange.received += len(part)
                yield part
        except Exception:
            self._is_gone = True
            raise
        self._is_over = True

    async def _back(self, theirs: aiohttp.ClientResponse) -> web.StreamResponse:
        answer = answers.Passed(status=theirs.status, reason=theirs.reason)
        for name, value in theirs.headers.items():
            if name.lower() not in OWN | _named(theirs.headers):
                answer.headers.add(name, value)
        if self._has_body(theirs) and "Content-Length" not in theirs.headers:
            answer.enable_chunked_encoding()
        await self._to_client(answer.prepare(self._request))
        self._answer = answer
        async for part in theirs.content.iter_any():
            await self._to_client(answer.write(part))
            self._exchange.sent += len(part)
        await self._to_client(answer.write_eof())
        return answer

    async def _to_client(self, sending: Awaitable[object]) -> None:
        try:
            await sending
        except ConnectionError:
            self._is_gone = True
            raise

    def _has_body(self, theirs: aiohttp.ClientResponse) -> bool:
        is_new = self._request.version >= aiohttp.HttpVersion11  # who is older reads up to the end
        return is_new and self._request.method != "HEAD" and theirs.status not in (204, 304)

    def _headers(self, scheme: str, port: int) -> CIMultiDict[str]:
        request = self._request
        kept: CIMultiDict[str] = CIMultiDict(
            (name, value)
            for name, value in request.headers.items()
            if name.lower() not in OWN | _named(request.headers)
            and not (self._manner.drops_invalid and INVALID.search(name))
        )
        if "Host" not in kept:
            kept["Host"] = ""
        self._tell_client(kept)
        kept["X-Forwarded-Proto"], kept["X-Forwarded-Port"] = scheme, str(port)
        kept["X-Amzn-Trace-Id"] = self._exchange.trace
        if self._manner.tells_tls and scheme == "https":
            kept["X-Amzn-Tls-Version"] = self._exchange.protocol
            kept["X-Amzn-Tls-Cipher-Suite"] = self._exchange.cipher
        return kept

    def _tell_client(self, headers: CIMultiDict[str]) -> None:
        """Say for whom this is, as the attribute wants it."""
        if self._manner.forwarded == "remove":
            headers.popall("X-Forwarded-For", None)
        elif self._manner.forwarded == "append":
            host, _, port = self._exchange.client.rpartition(":")
            before = headers.popall("X-Forwarded-For", [])
            client = f"{host}:{port}" if self._manner.shows_client_port else host
            headers["X-Forwarded-For"] = ", ".join([*before, client])


def trace(given: str | None) -> str:
    """Return a request's trace id: a new one, or the one that it brought with this step put before it."""
    fresh = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    if not given or "Root=" not in given:
        return f"Root={fresh}" + (f";{given}" if given else "")
    return f"Self={fresh};{given}"


def asked_for(request: web.BaseRequest) -> str:
    """Return what was asked for, byte for byte; of an absolute address, the path."""
    if request.raw_path.startswith("/"):
        return request.raw_path
    return request.path_qs if "://" in request.raw_path else "/"


def _named(headers: Mapping[str, str]) -> frozenset[str]:
    """Return the names that a Connection header adds to those of one connection."""
    return frozenset(each.strip().lower() for each in headers.get("Connection", "").split(","))
