"""HTTP with timeouts and patience; tokens and presigned links stay out of every text.

What `requests` says of an error names the address, and a presigned link is a secret: neither the text nor the
cause of an error here is its own.
"""

from __future__ import annotations

import io
import json
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from atelier_webui.addresses import is_loopback
from atelier_webui.errors import Misunderstood, Problem, Refusal, Unreachable

CONNECT, READ = 6.0, 35.0
"""Seconds; API Gateway itself gives up after 29."""

ATTEMPTS = 4
LONGEST_PAUSE = 10.0
AGAIN = frozenset({429, 502, 503, 504})
LARGEST_ANSWER = 512 * 1024 * 1024
CHUNK = 1024 * 1024
BLOCK = 64 * 1024
"""Bytes that are read at once, and bytes of a body that are sent at once."""


IDEMPOTENT = frozenset({"GET", "PUT", "DELETE"})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole answer from *host*; the names of headers are in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    host: str

    def document(self) -> Mapping[str, Any]:
        """Return the JSON object that it is; raise Misunderstood for anything else."""
        try:
            found = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and not 300 <= self.status < 400:
            return found
        raise Misunderstood(
            f"{self.host} answered {self.status} with something that is not the middleware's:"
            " is the URL the one of your deployment, with its stage at the end?"
        )


class Transport:
    """One session, which may be used from several threads; *here* is where it mostly goes."""

    def __init__(
        self,
        here: str,
        *,
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._session = session or made(trust_environment=not is_loopback(urlsplit(here).hostname or ""))
        self._sleep = sleep
        self._jitter = jitter

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def ask(self, method: str, url: str, **given: Any) -> Answer:
        """Return an answer, whatever its status; ask again, a few times, what may be asked again."""
        for attempt in range(ATTEMPTS):
            is_last = attempt == ATTEMPTS - 1
            try:
                answer = self.once(method, url, **given)
            except Unreachable as error:
                if is_last or not (method in IDEMPOTENT or isinstance(error, NeverSent)):
                    raise
                self._sleep(self._pause(attempt))
                continue
            if is_last or not _is_later(method, answer):
                return answer
            self._sleep(self._pause(attempt, answer.headers.get("Retry-After")))
        raise AssertionError("the last attempt returns or raises")

    def once(
        self,
        method: str,
        url: str,
        *,
        connect: float = CONNECT,
        timeout: float = READ,
        most: int = LARGEST_ANSWER,
        **given: Any,
    ) -> Answer:
        """Ask once; raise Unreachable when there is no whole answer."""
        host = urlsplit(url).netloc
        if len(body := given.get("data") or b"") > BLOCK:
            # what is read is sent block by block, each with the whole timeout
            given["data"] = io.BytesIO(body) if isinstance(body, bytes) else body
        try:
            with self._session.request(
                method, url, timeout=(connect, timeout), allow_redirects=False, stream=True, **given
            ) as answer:
                return Answer(
                    status=answer.status_code,
                    headers=answer.headers,
                    body=_body(answer, most, host),
                    host=host,
                )
        except requests.RequestException as error:
            raise _unreachable(error, host) from None

    def _pause(self, attempt: int, told: str | None = None) -> float:
        backoff: float = 0.25 * 2**attempt * (1 + self._jitter())
        return min(LONGEST_PAUSE, max(backoff, float(told) if told and told.isdecimal() else 0.0))


class NeverSent(Unreachable):
    """There was no connection, so nothing of the request has arrived."""


def made(*, trust_environment: bool) -> requests.Session:
    """Make a session without cookies, and without the passwords of ~/.netrc: a link is signed already."""
    session = requests.Session()
    session.trust_env = trust_environment
    session.auth = _as_it_is
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "atelier-webui"
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=16, max_retries=0))
    return session


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def refusal_of_s3(answer: Answer) -> Refusal:
    """Return what S3 said, by its code: its text may hold the link."""
    code = re.search(rb"<Code>(\w{1,60})</Code>", answer.body[:4000])
    reason = f" {code[1].decode()}" if code else ""
    return Refusal(answer.status, f"S3 answered {answer.status}{reason}")


def _body(answer: requests.Response, most: int, host: str) -> bytes:
    """Read the whole body, and no more than anybody should send."""
    body = bytearray()
    for chunk in answer.iter_content(CHUNK):
        body += chunk
        if len(body) > most:
            raise Misunderstood(f"{host} answered with more than {most} bytes")
    return bytes(body)


def _is_later(method: str, answer: Answer) -> bool:
    """Say whether the same may be asked again: a refusal that says when has not done anything."""
    return answer.status in AGAIN and (method in IDEMPOTENT or "Retry-After" in answer.headers)


def _unreachable(error: requests.RequestException, host: str) -> Problem:
    if isinstance(error, requests.exceptions.SSLError):
        return NeverSent(f"{host} is not who it says: its certificate is not trusted")
    if isinstance(error, requests.exceptions.ProxyError):
        return NeverSent(f"the proxy on the way to {host} does not answer")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return NeverSent(f"{host} does not answer")
    if isinstance(error, requests.exceptions.Timeout):
        return Unreachable(f"{host} did not answer in time")
    if isinstance(error, requests.exceptions.ConnectionError) and _never_connected(error):
        return NeverSent(f"{host} cannot be reached: is the URL right, and the network up?")
    return Unreachable(f"the connection to {host} was lost")


def _never_connected(error: requests.exceptions.ConnectionError) -> bool:
    """Say whether not even a connection was made: urllib3 keeps the reason inside."""
    cause = error.args[0] if error.args else None
    return type(getattr(cause, "reason", None)).__name__ in {"NewConnectionError", "NameResolutionError"}
