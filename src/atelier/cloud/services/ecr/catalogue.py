"""The images of a repository as records, and the names by which the engine finds them.

The records are the truth. The names on disk follow from them and are written anew when the cloud starts, so a
kill between the two writes heals.
"""

from __future__ import annotations

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecr.service import images, of_repository, repositories
from atelier.cloud.store import Record, Table


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
    names = images(cloud).registry
    for tag in (image["imageDigest"], *image["tags"]):
        names.put(repository["repositoryUri"], tag, image["imageDigest"])


def untag(cloud: Cloud, repository: Record, image: Record, tag: str) -> Record:
    """Take a tag from an image; return the image without it."""
    image = {**image, "tags": [each for each in image["tags"] if each != tag]}
    table(cloud).put(f"{repository['repositoryName']}@{image['imageDigest']}", image)
    images(cloud).registry.delete(repository["repositoryUri"], tag)
    return image


def forget(cloud: Cloud, repository: Record, image: Record) -> None:
    """Delete an image's record and its names."""
    table(cloud).delete(f"{repository['repositoryName']}@{image['imageDigest']}")
    for tag in (*image["tags"], image["imageDigest"]):
        images(cloud).registry.delete(repository["repositoryUri"], tag)


def publish(cloud: Cloud) -> None:
    """Write all names anew from the records."""
    images(cloud).registry.clear()
    for name, repository in repositories(cloud).items():
        for image in pushed(cloud, name):
            keep(cloud, repository, image)
