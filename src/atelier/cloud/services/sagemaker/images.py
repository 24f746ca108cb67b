"""From an image's URI to the digest that will run: ECR is asked, with the execution role."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from atelier.cloud.context import Login


class ImageError(Exception):
    """An image that ECR does not have, or does not give to the role."""


@dataclass(frozen=True)
class Image:
    """An image as it was asked for, and the digest it stands for."""

    specified: str
    resolved: str


def resolve(ecr: Any, uri: str) -> Image:
    """Return the image behind a URI with tag or digest (without either: ``latest``, as everywhere)."""
    repository, reference = split(uri)
    name = repository.partition("/")[2]
    wanted = {"imageDigest" if reference.startswith("sha256:") else "imageTag": reference}
    try:
        answer = ecr.batch_get_image(repositoryName=name, imageIds=[wanted])
    except ClientError as error:
        details = error.response.get("Error", {})
        raise ImageError(f"cannot pull {uri}: {details.get('Code')}: {details.get('Message')}") from error
    except BotoCoreError as error:
        raise ImageError(f"cannot pull {uri}: {error}") from error
    if not answer.get("images"):
        raise ImageError(f"cannot pull {uri}: the repository {name} has no image {reference}")
    return Image(uri, f"{repository}@{answer['images'][0]['imageId']['imageDigest']}")


def login(ecr: Any) -> Login:
    """Return a login to the registry, or raise ImageError when the role gets none."""
    try:
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    except ClientError as error:
        details = error.response.get("Error", {})
        raise ImageError(
            f"cannot log in to the image registry: {details.get('Code')}: {details.get('Message')}"
        ) from error
    except BotoCoreError as error:
        raise ImageError(f"cannot log in to the image registry: {error}") from error
    name, _, password = base64.b64decode(token).decode().partition(":")
    return name, password


def split(uri: str) -> tuple[str, str]:
    """Return the repository's URI, and the tag or digest."""
    repository, at, digest = uri.partition("@")
    if at:
        return repository, digest
    host, slash, path = uri.partition("/")
    name, colon, tag = path.rpartition(":")
    if not slash or not path:
        raise ImageError(f"{uri} is not the URI of an image in ECR")
    return (f"{host}/{name}", tag) if colon else (uri, "latest")
