"""Uploads of layers, part by part, verified by their digest."""

from __future__ import annotations

import base64
import binascii
import hashlib
import shutil
import uuid
from pathlib import Path

from atelier.cloud.context import Cloud
from atelier.cloud.services.ecr.live import storage
from atelier.cloud.services.ecr.service import SERVICE, known, repository, repository_arn, where
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

PART_BYTES = 10 * 1024 * 1024


def uploads(cloud: Cloud) -> Path:
    """Return the folder of uploads that are under way."""
    return cloud.home / "images" / "uploads"


def forget_uploads(cloud: Cloud) -> None:
    """Drop uploads that a stop of the cloud cut off."""
    shutil.rmtree(uploads(cloud), ignore_errors=True)


@SERVICE.operation("BatchCheckLayerAvailability", on=repository_arn)
def batch_check_layer_availability(cloud: Cloud, request: Document) -> Document:
    """Say which layers the repository has already."""
    name = repository(cloud, request)["repositoryName"]
    found, failures = [], []
    for digest in request["layerDigests"]:
        if digest.startswith("sha256:"):
            size = storage(cloud).layer(name, digest)
            state = "UNAVAILABLE" if size is None else "AVAILABLE"
            found.append({"layerDigest": digest, "layerAvailability": state, "layerSize": size})
        else:
            reason = {"failureCode": "InvalidLayerDigest", "failureReason": "a digest begins with sha256:"}
            failures.append({"layerDigest": digest, **reason})
    return {"layers": found, "failures": failures}


@SERVICE.operation("InitiateLayerUpload", on=repository_arn)
def initiate_layer_upload(cloud: Cloud, request: Document) -> Document:
    """Open an upload."""
    repository(cloud, request)
    upload = str(uuid.uuid4())
    uploads(cloud).mkdir(parents=True, exist_ok=True, mode=0o700)
    _file(cloud, request["repositoryName"], upload).touch(mode=0o600)
    return {"uploadId": upload, "partSize": PART_BYTES}


@SERVICE.operation("UploadLayerPart", on=repository_arn)
def upload_layer_part(cloud: Cloud, request: Document) -> Document:
    """Add the next part to an upload."""
    record = repository(cloud, request)
    file = _opened(cloud, request)
    try:
        part = base64.b64decode(request["layerPartBlob"], validate=True)
    except binascii.Error as error:
        raise ServiceError("SerializationException", "layerPartBlob is not base64") from error
    received, first, last = file.stat().st_size, request["partFirstByte"], request["partLastByte"]
    if first != received or last != first + len(part) - 1:
        message = f"Layer part bytes {first}-{last} do not follow the {received} bytes received before"
        raise ServiceError("InvalidLayerPartException", message)
    with file.open("ab") as target:
        target.write(part)
    return {**known(cloud, record), "uploadId": request["uploadId"], "lastByteReceived": last}


@SERVICE.operation("CompleteLayerUpload", on=repository_arn)
def complete_layer_upload(cloud: Cloud, request: Document) -> Document:
    """Verify an upload and keep it as a layer."""
    record = repository(cloud, request)
    file, name = _opened(cloud, request), record["repositoryName"]
    wanted = request["layerDigests"][0]
    with file.open("rb") as body:
        digest = f"sha256:{hashlib.file_digest(body, 'sha256').hexdigest()}"
    if not file.stat().st_size:
        raise ServiceError("EmptyUploadException", "Upload does not contain any layer parts")
    if digest != wanted:
        raise ServiceError("InvalidLayerException", f"The layer's digest is {digest}, not {wanted}")
    if storage(cloud).layer(name, digest) is not None:
        file.unlink()
        raise ServiceError(
            "LayerAlreadyExistsException",
            f"Layer with digest {digest} exists in the repository with name '{name}' in {where(cloud)}",
        )
    storage(cloud).add_layer(name, file, digest)
    return {**known(cloud, record), "uploadId": request["uploadId"], "layerDigest": digest}


def missing(cloud: Cloud, record: Record, digests: list[str]) -> list[str]:
    """Return the digests that the repository lacks."""
    name, store = record["repositoryName"], storage(cloud)
    return [each for each in dict.fromkeys(digests) if store.layer(name, each) is None]


def _file(cloud: Cloud, name: str, upload: str) -> Path:
    return uploads(cloud) / f"{upload}.{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _opened(cloud: Cloud, request: Document) -> Path:
    name, upload = request["repositoryName"], request["uploadId"]
    file = _file(cloud, name, upload)
    if "/" in upload or not file.exists():
        message = f"Upload with id '{upload}' does not exist in the repository with name '{name}'"
        raise ServiceError("UploadNotFoundException", message)
    return file
