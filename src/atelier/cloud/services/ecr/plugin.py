"""What ECR plugs into the gateway."""

from __future__ import annotations

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecr import catalogue, images, layers, lifecycle, live
from atelier.cloud.services.ecr import repositories as _repositories
from atelier.cloud.services.ecr.front import Front
from atelier.cloud.services.ecr.resource import REPOSITORY
from atelier.cloud.services.ecr.service import SERVICE, repositories
from atelier.cloud.services.plugin import Plugin

OPERATIONS = (catalogue, images, layers, lifecycle, _repositories)
"""The modules whose operations importing them registers."""


def start(cloud: Cloud) -> None:
    """Let the names on disk follow the records, and the policies apply to the time that has passed."""
    layers.forget_uploads(cloud)
    live.start(cloud, Front)
    catalogue.publish(cloud)
    for name, _ in repositories(cloud).items():
        lifecycle.apply(cloud, name)


SERVICE.start = start
SERVICE.stop = live.stop

PLUGIN = Plugin(scope="ecr", service=SERVICE, resources=(REPOSITORY,))
