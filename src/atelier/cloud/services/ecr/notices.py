"""What EventBridge hears of images."""

from __future__ import annotations

from atelier.cloud.context import Cloud
from atelier.cloud.store import Record


def publish(cloud: Cloud, action: str, repository: Record, image: Record, tag: str | None) -> None:
    """Tell that an image was pushed (``PUSH``) or deleted (``DELETE``)."""
    detail = {
        "result": "SUCCESS",
        "repository-name": repository["repositoryName"],
        "image-digest": image["imageDigest"],
        "action-type": action,
        "manifest-media-type": image["imageManifestMediaType"],
    }
    if tag is not None:
        detail["image-tag"] = tag
    if "artifactMediaType" in image:
        detail["artifact-media-type"] = image["artifactMediaType"]
    cloud.events.publish("aws.ecr", "ECR Image Action", detail, [])
