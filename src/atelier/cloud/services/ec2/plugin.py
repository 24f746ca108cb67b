"""What EC2 plugs into the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from atelier.cloud.context import Cloud
from atelier.cloud.services import query
from atelier.cloud.services.ec2 import (
    endpoints,
    groups,
    images,
    instances,
    launch,
    launch_templates,
    life,
    routes,
    rules,
    tags,
    volumes,
    vpcs,
)
from atelier.cloud.services.ec2.service import SERVICE
from atelier.cloud.services.plugin import Plugin
from atelier.cloud.services.wire import Response

OPERATIONS = (endpoints, groups, images, instances, launch, launch_templates, routes, tags, volumes, vpcs)
"""The modules whose operations importing them registers."""


async def answer(
    cloud: Cloud, method: str, _path: str, _headers: Mapping[str, str], body: bytes
) -> Response | None:
    """Answer a request of EC2's protocol."""
    return await asyncio.to_thread(query.answer, SERVICE, cloud, body) if method == "POST" else None


SERVICE.start = life.start
SERVICE.stop = life.stop

PLUGIN = Plugin(
    scope="ec2",
    service=SERVICE,
    resources=(
        *vpcs.RESOURCES,
        *routes.RESOURCES,
        *endpoints.RESOURCES,
        groups.RESOURCE,
        *rules.RESOURCES,
        launch_templates.RESOURCE,
    ),
    rest=answer,
    refuse=query.refuse,
)
