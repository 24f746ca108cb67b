"""What Elastic Load Balancing plugs into the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from atelier.cloud.context import Cloud
from atelier.cloud.services import query
from atelier.cloud.services.elasticloadbalancing import (
    listeners,
    live,
    load_balancers,
    resources,
    rules,
    tags,
    target_groups,
    targets,
)
from atelier.cloud.services.elasticloadbalancing.service import SCOPE, SERVICE
from atelier.cloud.services.plugin import Plugin
from atelier.cloud.services.wire import Response

OPERATIONS = (listeners, load_balancers, rules, tags, target_groups, targets)
"""The modules whose operations importing them registers."""


async def answer(
    cloud: Cloud, method: str, _path: str, _headers: Mapping[str, str], body: bytes
) -> Response | None:
    """Answer a request of the query protocol."""
    return await asyncio.to_thread(query.answer, SERVICE, cloud, body) if method == "POST" else None


SERVICE.start = live.start
SERVICE.stop = live.stop

PLUGIN = Plugin(scope=SCOPE, service=SERVICE, resources=resources.RESOURCES, rest=answer, refuse=query.fault)
