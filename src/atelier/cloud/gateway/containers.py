"""What the parent process knows of a home's containers: their engine, and how to remove what was left."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from atelier.cloud.context import Refused
from atelier.cloud.gateway import environment
from atelier.cloud.gateway.settings import Home

logger = logging.getLogger(__name__)


def kept(home: Home) -> str | None:
    """Return the engine of the home's last start."""
    try:
        return home.engine.read_text(encoding="ascii").strip()
    except OSError:
        return None


def docker_variables(given: Mapping[str, str]) -> dict[str, str]:
    """Return what Docker's clients read to find the engine, from the environment of our server."""
    names = ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
    return {
        "DOCKER_HOST": given["ATELIER_DOCKER_HOST"],
        **{name: given[name] for name in names if given.get(name)},
    }


def remove(home: Home) -> None:
    """Remove the containers that a killed cloud of this home left in Docker; processes end by themselves."""
    if kept(home) != "docker":
        return
    from atelier.cloud.engines.docker.client import FAILURES, connect
    from atelier.cloud.engines.docker.engine import label, remove_all

    variables = docker_variables({**os.environ, "ATELIER_DOCKER_HOST": environment.docker_host()})
    try:
        api = connect(variables)
        remove_all(api, label(home.root))
        api.close()
    except (Refused, *FAILURES) as error:  # an engine that is away runs nothing; the next start looks again
        logger.info("containers of %s: %s", home.root, error)
