"""Repositories of others, asked over git's smart HTTP protocol, or read where they lie on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from atelier.lambdas.domain.webui import Upstream
from atelier.lambdas.errors import Busy, Invalid, NotFound, Throttled

if TYPE_CHECKING:
    from dulwich.client import GitClient

CONNECT_SECONDS, READ_SECONDS = 5, 20
THROTTLES = frozenset({403, 429, 503})
"""How servers answer who asks too often; 403 only where it says when to come again."""
PEELED = b"^{}"


class GitUpstreams:
    """Repositories by URL or path; what is asked is one request, and is not asked again by itself."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now

    def head(self, upstream: Upstream) -> str:
        """Return the commit; raise NotFound, Throttled when asked too often, or Busy when it is away."""
        references = self._references(upstream.url)
        name = upstream.reference.encode()
        found = references.get(name + PEELED) or references.get(name)
        if found is None:
            raise NotFound(f"{upstream.name} is not there: it was renamed or deleted")
        return found.decode()

    def _references(self, url: str) -> Mapping[bytes, bytes]:
        # Dulwich is imported here: a look that upstream asked to leave out needs none of it.
        from dulwich.client import HTTPUnauthorized
        from dulwich.errors import GitProtocolError, NotGitRepository

        client, path = self._client(url)
        try:
            found = client.get_refs(path, protocol_version=0)
        except (NotGitRepository, HTTPUnauthorized) as error:  # GitHub asks who is there for what is not
            raise NotFound(f"{url} is no git repository, or not a public one") from error
        except (GitProtocolError, OSError, EOFError) as error:
            raise Busy(f"{url} does not answer: {error}") from error
        return {name: commit for name, commit in found.refs.items() if commit}

    def _client(self, url: str) -> tuple[GitClient, bytes]:
        from dulwich.client import HttpGitClient, LocalGitClient

        parts = urlsplit(url)
        if parts.scheme in {"http", "https"}:
            if parts.username or parts.password:
                raise Invalid("the repository's URL has a user or a password: only public ones are followed")
            return HttpGitClient(url, pool_manager=self._door(url)), b""
        path = unquote(parts.path) if parts.scheme == "file" else url
        if parts.scheme not in {"", "file"} or not path.startswith("/"):
            raise Invalid(f"{url} is neither an http(s) URL nor the absolute path of a repository")
        if not Path(path).is_dir():
            raise NotFound(f"{path} is no folder on the machine where this runs")
        return LocalGitClient(), path.encode()

    def _door(self, url: str) -> Any:
        import urllib3
        from dulwich.client import default_urllib3_manager

        once = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=3)
        once.respect_retry_after_header = False
        patience = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        return _Door(default_urllib3_manager(None, base_url=url), self._now, retries=once, timeout=patience)


class _Door:
    """A pool of connections that knows how long to wait, and says so when asked too often."""

    def __init__(self, pool: Any, now: Callable[[], float], **options: Any) -> None:
        self.headers = pool.headers
        self._pool = pool
        self._now = now
        self._options = options

    def request(self, method: str, url: str, **more: Any) -> Any:
        response = self._pool.request(method, url, **{**more, **self._options})
        told = response.headers.get("Retry-After")
        if response.status == 429 or (response.status in THROTTLES and told):
            response.close()
            seconds = waiting(told, self._now())
            raise Throttled(f"{urlsplit(url).netloc} answers {response.status}, asked too often", seconds)
        return response


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
