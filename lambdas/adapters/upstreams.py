"""Repositories of others, asked over git's smart HTTP protocol, or read where they lie on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from atelier.lambdas.domain.webui import Upstream
from atelier.lambdas.errors import Busy, Invalid, NotFound, Throttled

CONNECT_SECONDS, READ_SECONDS = 5, 20
THROTTLES = frozenset({403, 429, 503})
"""How servers answer who asks too often; 403 only where it says when to come again."""
PEELED = b"^{}"
LARGEST = 32 * 1024 * 1024


class GitUpstreams:
    """Repositories by URL or path; what is asked is one request, and is not asked again by itself."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now

    def head(self, upstream: Upstream) -> str:
        """Return the commit; raise NotFound, Throttled when asked too often, or Busy when it is away."""
        found = self._commit(upstream)
        if found is None:
            raise NotFound(f"{upstream.name} is not there: it was renamed or deleted")
        return found.decode()

    def _commit(self, upstream: Upstream) -> bytes | None:
        # Dulwich is imported here: a look that upstream asked to leave out needs none of it.
        from dulwich.client import HttpGitClient, HTTPUnauthorized
        from dulwich.errors import GitProtocolError, NotGitRepository
        from dulwich.refs import Ref
        from dulwich.repo import Repo

        name = upstream.reference.encode()
        try:
            if place := self._place(upstream.url):
                with Repo(str(place)) as repository:
                    return repository.get_peeled(Ref(name))
            found = HttpGitClient(upstream.url, pool_manager=self._door(upstream.url)).get_refs(
                b"", protocol_version=0
            )
            return found.refs.get(Ref(name + PEELED)) or found.refs.get(Ref(name))
        except KeyError:
            return None
        except (NotGitRepository, HTTPUnauthorized) as error:  # GitHub asks who is there for what is not
            raise NotFound(f"{upstream.url} is no git repository, or not a public one") from error
        except (GitProtocolError, OSError, EOFError, ValueError) as error:
            raise Busy(f"{upstream.url} does not answer as git does: {error}") from error

    def _place(self, url: str) -> Path | None:
        """Return the folder that a URL means, or None for one to be asked over HTTP."""
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"}:
            if parts.username or parts.password:
                raise Invalid("the repository's URL has a user or a password: only public ones are followed")
            return None
        path = unquote(parts.path) if parts.scheme == "file" else url
        if parts.scheme not in {"", "file"} or not path.startswith("/"):
            raise Invalid(f"{url} is neither an http(s) URL nor the absolute path of a repository")
        if not Path(path).is_dir():
            raise NotFound(f"{path} is no folder on the machine where this runs")
        return Path(path)

    def _door(self, url: str) -> Any:
        import urllib3
        from dulwich.client import default_urllib3_manager

        once = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=3)
        once.respect_retry_after_header = False
        patience = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        return _Door(default_urllib3_manager(None, base_url=url), self._now, retries=once, timeout=patience)


class _Door:
    """A pool of connections that takes an answer whole, and knows when it was asked too often.

    Dulwich reads a reference at a time, which would cost most of a look in urllib3.
    """

    def __init__(self, pool: Any, now: Callable[[], float], **options: Any) -> None:
        self.headers = pool.headers
        self._pool = pool
        self._now = now
        self._options = options

    def request(self, method: str, url: str, **more: Any) -> _Answer:
        try:
            response = self._pool.request(method, url, **{**more, **self._options})
            answer = _Answer(response.read(LARGEST + 1, decode_content=True), response)
            response.close()
        finally:
            self._pool.clear()
        told = answer.headers.get("Retry-After")
        if answer.status == 429 or (answer.status in THROTTLES and told):
            raise Throttled(
                f"{urlsplit(url).netloc} answers {answer.status}, asked too often",
                waiting(told, self._now()),
            )
        if len(answer.body) > LARGEST:
            raise Busy(f"{url} has more references than {LARGEST} bytes")
        return answer


class _Answer:
    """An answer as dulwich takes it."""

    content_type: str | None
    redirect_location: str

    def __init__(self, body: bytes, response: Any) -> None:
        self.body = body
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self.read = BytesIO(body).read
        self._url = response.geturl()

    def geturl(self) -> str:
        return str(self._url)

    def close(self) -> None:
        """Do nothing: all of it was read."""


def waiting(told: str | None, now: float) -> float:
    """Return the seconds that Retry-After asks for: a number of them, or a date."""
    if told is None:
        return 0
    if told.strip().isdecimal():
        return float(told)
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - now)
    except ValueError:
        return 0
