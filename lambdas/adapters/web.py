"""Files of public places, by https.

The addresses that a name stands for are looked up once, all of them must be public, and the connection goes
to one of those; the certificate is checked against the name. Each redirect is a new place that is checked as
the first was. No proxy, no cookies, no credentials.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from email.message import Message
from urllib.parse import urljoin

from atelier.lambdas.domain.sources import PORT, Place, file_name, is_public, place
from atelier.lambdas.errors import Busy, Failed
from atelier.lambdas.ports.checkpoints import Download

Resolve = Callable[[str], list[str]]
Connect = Callable[[Place, list[str]], http.client.HTTPConnection]

REDIRECTS = 5
MOVED = frozenset({301, 302, 303, 307, 308})
LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
SECONDS = 30.0
"""For one answer of the network, not for a file."""

CHUNK = 1024 * 1024
HEADERS: Mapping[str, str] = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "atelier"}


class Https:
    """Files of public places."""

    def __init__(self, resolve: Resolve | None = None, connect: Connect | None = None) -> None:
        self._resolve = resolve or addresses
        self._connect = connect or connection

    @contextmanager
    def open(self, url: str) -> Iterator[Download]:
        """Begin to read a file; Failed says why that cannot be, Busy that it may be possible later."""
        for _ in range(REDIRECTS + 1):
            where = place(url)
            with (
                closing(self._connect(where, self._public(where.host))) as link,
                closing(_ask(link, where)) as answer,
            ):
                if answer.status not in MOVED:
                    yield _download(url, answer)
                    return
                url = urljoin(url, answer.getheader("Location") or "")
        raise Failed(f"more than {REDIRECTS} redirects")

    def _public(self, host: str) -> list[str]:
        """Return a host's addresses; one that is not public makes it one of our own network."""
        found = self._resolve(host)
        if not found or not all(map(is_public, found)):
            raise Failed(f"{host} is not a public host")
        return found


def addresses(host: str) -> list[str]:
    """Return the addresses that a name stands for."""
    try:
        found = socket.getaddrinfo(host, PORT, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Busy(f"{host} cannot be found") from error
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def connection(where: Place, checked: list[str]) -> http.client.HTTPConnection:
    """Return a connection that goes to one of the addresses that were checked."""
    return CheckedConnection(where.host, checked, ssl.create_default_context())


class CheckedConnection(http.client.HTTPSConnection):
    """Goes to an address that is given, and trusts the certificate of the name."""

    def __init__(self, host: str, checked: list[str], context: ssl.SSLContext, port: int = PORT) -> None:
        super().__init__(host, port, timeout=SECONDS, context=context)
        self._checked = checked
        self._trust = context

    def connect(self) -> None:
        """Connect to the first address that answers."""
        last: OSError = OSError("no address")
        for each in self._checked:
            try:
                plain = socket.create_connection((each, self.port), SECONDS)
            except OSError as error:
                last = error
                continue
            try:
                self.sock = self._trust.wrap_socket(plain, server_hostname=self.host)
            except OSError:
                plain.close()
                raise
            return
        raise last


def _ask(link: http.client.HTTPConnection, where: Place) -> http.client.HTTPResponse:
    try:
        link.request("GET", where.target, headers=dict(HEADERS))
        return link.getresponse()
    except ssl.SSLError as error:
        raise Failed(f"{where.host} cannot prove who it is") from error
    except (OSError, http.client.HTTPException) as error:
        raise Busy(f"{where.host} does not answer") from error


def _download(url: str, answer: http.client.HTTPResponse) -> Download:
    host = place(url).host
    if answer.status in LATER:
        raise Busy(f"{host} answers {answer.status}")
    if answer.status != http.client.OK:
        raise Failed(f"{host} answers {answer.status}")
    if (answer.getheader("Content-Encoding") or "identity").lower() != "identity":
        raise Failed(f"{host} answers with a compressed file")
    name = _told(answer.getheader("Content-Disposition")) or file_name(url)
    return Download(name=name, size=answer.length, chunks=_chunks(answer, host))


def _told(disposition: str | None) -> str:
    """Return the name that the other side gives a file."""
    if not disposition:
        return ""
    message = Message()
    message["Content-Disposition"] = disposition
    return (message.get_filename() or "").strip()


def _chunks(answer: http.client.HTTPResponse, host: str) -> Iterator[bytes]:
    try:
        while chunk := answer.read1(CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise Busy(f"{host} broke off") from error
