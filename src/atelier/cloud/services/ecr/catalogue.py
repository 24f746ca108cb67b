"""The images of a repository as records, and what storage keeps of them.

The records are the truth. Storage follows them: before an image is recorded it is there whole, and what a
kill left behind without a record goes with the next start.
"""

from __future__ import annotations

import threading

from atelier.cloud.context import Cloud
from atelier.cloud.engines.images import ImageStore
from atelier.cloud.services.ecr.live import storage
from atelier.cloud.services.ecr.service import of_repository, repositories
from atelier.cloud.store import Record, Table

CHANGING = threading.RLock()
"""Held while an image is stored and recorded, or deleted: neither must meet the other half-way.

The records' own lock is everybody's, so nobody holds it while a registry is asked. Take this one first.
"""


def table(cloud: Cloud) -> Table:
    """Return the records of images, by ``<repository>@<digest>``."""
    return cloud.store.table("ecr.images")


def pushed(cloud: Cloud, name: str) -> list[Record]:
    """Return a repository's images, oldest first."""
    return [record for _, record in of_repository(table(cloud), name)]


def tagged(cloud: Cloud, name: str, tag: str) -> Record | None:
    """Return the image that has a tag."""
    return next((image for image in pushed(cloud, name) if tag in image["tags"]), None)


def keep(cloud: Cloud, repository: Record, image: Record) -> None:
    """Write an image's record and its names."""
    table(cloud).put(f"{repository['repositoryName']}@{image['imageDigest']}", image)
    for tag in (image["imageDigest"], *image["tags"]):
        storage(cloud).name(repository["repositoryUri"], tag, image["imageDigest"])


def untag(cloud: Cloud, repository: Record, image: Record, tag: str) -> Record:
    """Take a tag from an image; return the image without it."""
    image = {**image, "tags": [each for each in image["tags"] if each != tag]}
    table(cloud).put(f"{repository['repositoryName']}@{image['imageDigest']}", image)
    storage(cloud).unname(repository["repositoryUri"], tag)
    return image


def forget(cloud: Cloud, repository: Record, image: Record) -> None:
    """Delete an image's record, its names and its manifest."""
    name, digest = repository["repositoryName"], image["imageDigest"]
    table(cloud).delete(f"{name}@{digest}")
    for tag in (*image["tags"], digest):
        storage(cloud).unname(repository["repositoryUri"], tag)
    storage(cloud).forget(name, digest)


def holders(cloud: Cloud, name: str, digest: str) -> list[str]:
    """Return the indexes that an image is part of, by digest."""
    return [each["imageDigest"] for each in pushed(cloud, name) if digest in each.get("images", [])]


def publish(cloud: Cloud) -> None:
    """Write all names anew from the records."""
    ImageStore(cloud.home).registry.clear()
    for name, repository in repositories(cloud).items():
        for image in pushed(cloud, name):
            keep(cloud, repository, image)
