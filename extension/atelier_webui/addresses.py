"""Addresses of middlewares: where a token may be sent to."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def plain(url: str) -> str:
    """Return an API's address with a slash at its end; raise ValueError with what is wrong with it."""
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("it is no URL") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("it must look like https://….execute-api.eu-west-1.amazonaws.com/prod/")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("it must end with the stage: without a name, a password, a ? or a #")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("it must begin with https://, or anybody on the way could read the token")
    if any(each.isspace() or not each.isprintable() for each in parts.geturl()):
        raise ValueError("it must not hold blanks")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + "/", "", ""))
