"""Addresses and ports: each load balancer has an address of the loopback interface of its own."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.elasticloadbalancing.service import load_balancers

HTTP = 80
RESERVED = 1024
"""Ports below may be the administrator's only."""

ANYWHERE = "127.0.0.1"


def free(cloud: Cloud) -> tuple[str, int | None]:
    """Return an address that no load balancer has, and the port to open there in place of 80 and 443.

    There is none (None) where this process may open those: as root, or in most containers.
    """
    taken = {each["Address"] for _, each in load_balancers(cloud).items()}
    while (address := f"127.{secrets.randbelow(30) + 220}.{secrets.randbelow(256)}.{_last()}") in taken:
        pass
    for host in (address, ANYWHERE):  # macOS has 127.0.0.1 only
        for port in (HTTP, 0):
            try:
                with bound(host, port) as listener:
                    is_own = port == HTTP and host == address
                    return host, None if is_own else int(listener.getsockname()[1])
            except Refused:
                continue
    raise Refused("the load balancer finds no free port on this machine's loopback interface")


def _last() -> int:
    return secrets.randbelow(254) + 1


def bound(address: str, port: int) -> socket.socket:
    """Listen at an address and a port; raise Refused when another program does."""
    try:
        return socket.create_server((address, port), backlog=512)
    except OSError as error:
        raise Refused(f"port {port} of {address} cannot be opened: {error.strerror}") from error


def of(balancer: Mapping[str, Any], listener: Mapping[str, Any]) -> tuple[str, int]:
    """Return where a listener is to be reached: at its port, or at the one that stands for 80 and 443."""
    port, instead = int(listener["Port"]), balancer["Instead"]
    return balancer["Address"], instead if instead is not None and port < RESERVED else port


def name(balancer: Mapping[str, Any]) -> str:
    """Return the name under which clients find a load balancer, port included where it is not the usual."""
    instead = balancer["Instead"]
    return str(balancer["Address"]) if instead is None else f"{balancer['Address']}:{instead}"


def target(group: str, address: str, port: int) -> str:
    """Return the key of a target's record."""
    return f"{group}|{address}:{port}"
