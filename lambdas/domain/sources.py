"""Where files may be fetched from: public places of the internet, by https, and nothing of our own network.

A name is checked here; whoever connects checks the addresses that it stands for, too, and connects to one of
the addresses that were checked: a name may stand for another the next moment.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Network, ip_address
from urllib.parse import unquote, urlsplit

from atelier.contract.values import Value
from atelier.lambdas.errors import Invalid

PORT = 443
LONGEST = 4096
LONGEST_HOST = 253
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HOST = re.compile(rf"({LABEL}\.)+(?=[a-z])(?!0x){LABEL}")
"""A name with a top-level domain, which is never a number: so no address, however it is written."""

GLOBAL = IPv6Network("2000::/3")
TUNNELS = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))
"""Addresses that hide an IPv4 address, which may be a private one."""

PRIVATE_DOMAINS = (".internal", ".local", ".localhost", ".home.arpa")


class Place(Value):
    """A host, and what to ask it for."""

    host: str
    target: str


def place(url: str) -> Place:
    """Return where a URL leads; refuse what is not public https. No refusal repeats it: it may be secret."""
    if len(url) > LONGEST or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise Invalid("a URL to fetch must be plain text without spaces")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise Invalid("a URL to fetch cannot be read") from error
    if parts.scheme.lower() != "https":
        raise Invalid("a URL to fetch must begin with https://")
    if "@" in parts.netloc:
        raise Invalid("a URL to fetch must not name a user")
    if port not in {None, PORT}:
        raise Invalid(f"a URL to fetch must use port {PORT}")
    if len(host) > LONGEST_HOST or not HOST.fullmatch(host) or host.endswith(PRIVATE_DOMAINS):
        raise Invalid("a URL to fetch must name a public host")
    query = f"?{parts.query}" if parts.query else ""
    return Place(host=host, target=f"{parts.path or '/'}{query}")


def is_public(address: str) -> bool:
    """Say whether an address is one of the internet's, not of this machine, its network or its cloud."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if not found.is_global or found.is_multicast or found.is_reserved:
        return False
    if isinstance(found, IPv4Address):
        return True
    return found in GLOBAL and not any(found in each for each in TUNNELS)


def file_name(url: str) -> str:
    """Return the last part of a URL's path."""
    return unquote(urlsplit(url).path.rpartition("/")[2])
