"""Fetches an image from the cloud's registry, as the role whose container it will be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from atelier.cloud.context import Login, Refused
from atelier.cloud.engines.docker.client import FAILURES, explain


def pull(api: Any, image: str, login: Callable[[], Login], *, check: Callable[[], None]) -> None:
    """Fetch ``repository@digest``; raise Refused with the registry's or the engine's reason."""
    repository, _, digest = image.partition("@")
    name, password = login()
    try:
        progress = api.pull(
            repository,
            tag=digest,
            stream=True,
            decode=True,
            auth_config={
                "username": name,
                "password": password,
                "serveraddress": repository.partition("/")[0],
            },
        )
        for step in progress:
            check()
            if "error" in step:
                raise Refused(f"cannot pull {image}: {_meaning(step['error'], repository)}")
    except FAILURES as error:
        raise Refused(f"cannot pull {image}: {_meaning(explain(error), repository)}") from error


def _meaning(said: str, repository: str) -> str:
    if "manifest unknown" in said or "not found" in said:
        return f"the repository {repository.partition('/')[2]} has no such image; was it deleted? ({said})"
    if "connection refused" in said:
        return f"the registry at {repository.partition('/')[0]} does not answer ({said})"
    return said
