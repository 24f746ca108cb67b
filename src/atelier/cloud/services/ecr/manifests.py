"""What a manifest says: one image's layers, or the images of an index."""

from __future__ import annotations

import json
from typing import Any

from atelier.cloud.services.wire import ServiceError
from atelier.cloud.store import Record

IMAGES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
)
INDEXES = (
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)


def described(text: str, media_type: str | None) -> Record:
    """Return what a manifest says of its image; raise ServiceError for what is no manifest."""
    try:
        manifest = json.loads(text)
        kind = media_type or manifest.get("mediaType")
        described = _index(manifest) if kind in INDEXES else _image(manifest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServiceError(
            "InvalidParameterException", f"imageManifest is not the manifest of an image: {error!r}"
        ) from error
    if kind not in (*IMAGES, *INDEXES) or manifest.get("mediaType", kind) != kind:
        raise ServiceError("InvalidParameterException", f"a manifest of type {kind} is not supported here")
    return {"imageManifestMediaType": kind, **described}


def _image(manifest: Any) -> Record:
    blobs = [manifest["config"], *manifest["layers"]]
    return {
        "artifactMediaType": manifest["config"]["mediaType"],
        "imageSizeInBytes": sum(each["size"] for each in blobs),
        "layers": [each["digest"] for each in blobs],
    }


def _index(manifest: Any) -> Record:
    return {"images": [each["digest"] for each in manifest["manifests"]]}
