"""The default event bus, as our services publish on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atelier.cloud.gateway.hooks import bus


@dataclass(frozen=True)
class GatewayEvents:
    """The `Events` of the running cloud."""

    account: str
    region: str

    def publish(self, source: str, detail_type: str, detail: Mapping[str, Any], resources: list[str]) -> None:
        """Put one event on the bus as an AWS service does."""
        bus.publish(self.account, self.region, source, detail_type, detail, resources)
