"""The gateway put together: hooks installed, our services plugged in, started and stopped."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

from atelier.cloud.context import Cloud, Engine
from atelier.cloud.gateway import plugging
from atelier.cloud.gateway.events import GatewayEvents
from atelier.cloud.gateway.front import handler
from atelier.cloud.gateway.hooks import (
    access,
    alarms,
    apis,
    bus,
    encryption,
    expressions,
    journal,
    logs,
    meaning,
    metrics,
    policies,
    queues,
    rotation,
    rules,
    scheduler,
    server,
    sessions,
    stacks,
    workflows,
)
from atelier.cloud.gateway.hooks.edge.install import install as edge
from atelier.cloud.gateway.hooks.federation import install as federation
from atelier.cloud.gateway.hooks.functions import Functions
from atelier.cloud.gateway.hooks.objects import install as objects
from atelier.cloud.gateway.hooks.templates import install as templates
from atelier.cloud.gateway.identity import GatewayIdentity
from atelier.cloud.gateway.metrics import GatewayMetrics, QueueMetrics
from atelier.cloud.gateway.persistence import Saver
from atelier.cloud.gateway.plugins import PLUGINS
from atelier.cloud.gateway.settings import ACCOUNT, REGION, Home
from atelier.cloud.services.plugin import Plugin
from atelier.cloud.store import Store

logger = logging.getLogger("atelier.cloud")

END_WITHIN = 12.0


class Gateway:
    """One home's cloud inside this process."""

    def __init__(self, home: Home, endpoint: str, store: Store, engine: Engine) -> None:
        self.identity = GatewayIdentity(ACCOUNT, REGION)
        self.cloud = Cloud(
            home=home.root,
            endpoint=endpoint,
            account=ACCOUNT,
            region=REGION,
            store=store,
            identity=self.identity,
            events=GatewayEvents(ACCOUNT, REGION),
            metrics=GatewayMetrics(ACCOUNT, REGION),
            engine=engine,
        )
        self.saver = Saver()
        self.queues = QueueMetrics(ACCOUNT, REGION)
        self.functions = Functions(home.root / "functions", _shown_to_functions(self.cloud))
        self._install(home)

    def _install(self, home: Home) -> None:
        key = json.loads(home.credentials.read_text(encoding="utf-8"))
        access.install((key["access_key"], key["secret_key"]), ACCOUNT, [each.scope for each in PLUGINS])
        sessions.install()
        alarms.install()
        policies.install()
        federation.install(REGION)
        meaning.install()
        self.functions.install()
        bus.install()
        expressions.install()
        metrics.install()
        queues.install()
        stacks.install(plugging.provisioners(PLUGINS, self.cloud, self.identity))
        templates.install({each.type: each.properties for plugin in PLUGINS for each in plugin.resources})
        workflows.install(
            REGION,
            plugging.integrations(PLUGINS, self.cloud, self.identity),
            plugging.sdk_calls(PLUGINS, self.cloud, self.identity),
        )
        objects.install(home.state / "uploads")
        edge()
        logs.install()
        journal.install()
        apis.install(REGION, ACCOUNT)
        rotation.install(REGION, ACCOUNT)
        encryption.install(REGION)
        scheduler.install()
        rules.install(REGION, plugging.event_targets(PLUGINS, self.cloud))
        server.install({each.scope: handler(each, self.cloud, self.identity) for each in PLUGINS})

    def application(self, started: Callable[[], None]) -> server.Asgi:
        """Return the ASGI application; *started* is called when ministack has taken up its state."""
        inner = server.application()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.saver.request(scope["method"], scope["headers"])

            async def tell(message: Any) -> None:
                await send(message)
                if message["type"] == "lifespan.startup.complete":
                    started()

            await inner(scope, receive, tell if scope["type"] == "lifespan" else send)

        return application

    async def up(self) -> None:
        """Let each service take up what a stop interrupted."""
        self.saver.start()
        self.queues.start()
        await asyncio.to_thread(self.cloud.engine.clean)
        for plugin in PLUGINS:
            if plugin.service.start:
                await asyncio.to_thread(plugin.service.start, self.cloud)

    async def down(self) -> None:
        """Let each service end its work; one that fails or hangs does not keep the others from it."""
        await asyncio.gather(*(self._end(plugin) for plugin in PLUGINS if plugin.service.stop))
        await asyncio.to_thread(self.functions.stop)
        await asyncio.to_thread(self.queues.stop)
        await asyncio.to_thread(self.saver.stop)  # before the engine, which may be slow to answer
        await asyncio.to_thread(self.cloud.engine.close)

    async def _end(self, plugin: Plugin) -> None:
        assert plugin.service.stop is not None
        try:
            await asyncio.wait_for(asyncio.to_thread(plugin.service.stop, self.cloud), END_WITHIN)
        except Exception:  # a stop goes on: the state of the others must be saved
            logger.exception("%s did not stop cleanly", plugin.scope)


def _shown_to_functions(cloud: Cloud) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_REGION": cloud.region,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
    }
