"""The engine's API: how it is reached, and its errors in words that say what to do."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Mapping
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException
from docker.transport.unixconn import UnixHTTPConnection
from docker.utils import kwargs_from_env

from atelier.cloud.context import Refused

TIMEOUT = 60
CONNECTIONS = 64
"""Kept open at most; every container that is followed has one of its own besides."""

AWAY = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    urllib3.exceptions.HTTPError,
    OSError,
)
"""How it shows that the engine does not answer (any more)."""

FAILURES = (DockerException, requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError)


class Unreachable(Refused):
    """No Docker engine answers; the text says where, and what to do."""


def open_socket(connection: Any) -> None:
    """Connect to an engine's socket, and close it when nobody answers: the SDK leaves it to the collector."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.settimeout(connection.timeout)
        opened.connect(connection.unix_socket)
    except OSError:
        opened.close()
        raise
    connection.sock = opened


# the SDK makes these connections itself, from its first call on
UnixHTTPConnection.connect = open_socket  # type: ignore[method-assign, assignment]


def connect(variables: Mapping[str, str], *, timeout: int = TIMEOUT) -> Any:
    """Return a client of the engine that ``DOCKER_HOST`` names, after it has answered."""
    host = variables.get("DOCKER_HOST") or "Docker's own socket"
    try:
        reached = kwargs_from_env(environment=dict(variables))
        return docker.APIClient(**reached, version="auto", timeout=timeout, num_pools=CONNECTIONS)
    except FAILURES as error:
        raise Unreachable(f"Docker does not answer at {host}: {cause(error)}") from error


def explain(error: Exception) -> str:
    """Return an error of the engine as one line for whoever reads it."""
    if isinstance(error, APIError):
        said = error.explanation or str(error)
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return re.sub(r"\s+", " ", text).strip()
    if isinstance(error, AWAY):
        return f"the Docker engine does not answer ({cause(error)}); is it running?"
    return str(error)


def let_go(stream: Any) -> None:
    """Close a container's output, and the connection around it, which the SDK leaves to the collector."""
    response = getattr(stream, "_response", None)
    if response is not None:
        with contextlib.suppress(*FAILURES):
            response.close()


def cause(error: BaseException) -> str:
    """Return the innermost reason of a chain of errors: the outer ones repeat each other."""
    seen: list[BaseException] = [error]
    while (inner := _inner(seen[-1])) is not None and inner not in seen:
        seen.append(inner)
    last = seen[-1]
    text = last.strerror if isinstance(last, OSError) and last.strerror else str(last)
    return text.strip() or type(last).__name__


def _inner(error: BaseException) -> BaseException | None:
    nested: Any = next((each for each in error.args if isinstance(each, BaseException)), None)
    return nested or error.__cause__ or error.__context__
