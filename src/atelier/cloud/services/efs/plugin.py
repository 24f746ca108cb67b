"""EFS, as the gateway plugs it in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from atelier.cloud.context import Cloud
from atelier.cloud.services import rest
from atelier.cloud.services.efs import access_points, choices, file_systems, mount_targets
from atelier.cloud.services.efs.resources import RESOURCES
from atelier.cloud.services.efs.service import SCOPE, SERVICE
from atelier.cloud.services.plugin import Plugin
from atelier.cloud.services.wire import Response

OPERATIONS = (access_points, choices, file_systems, mount_targets)
"""The modules whose operations importing them registers."""


async def answer(cloud: Cloud, method: str, path: str, query: Mapping[str, object], body: bytes) -> Response:
    """Answer a request."""
    return await asyncio.to_thread(rest.answer, SERVICE, cloud, method, path, query, body)


PLUGIN = Plugin(scope=SCOPE, service=SERVICE, resources=RESOURCES, paths=answer, refuse=rest.refuse)
