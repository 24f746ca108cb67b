"""Images: put by manifest, got, listed, described, deleted."""

from __future__ import annotations

from datetime import UTC, datetime

from atelier.cloud.context import Cloud
from atelier.cloud.engines.images import digest_of
from atelier.cloud.services.ecr import catalogue, layers, lifecycle, manifests, notices
from atelier.cloud.services.ecr.live import storage
from atelier.cloud.services.ecr.service import (
    SERVICE,
    known,
    paged,
    repositories,
    repository,
    repository_arn,
    where,
)
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

NOT_SCANNED = {
    "status": "UNSUPPORTED_IMAGE",
    "description": "The local cloud has no scanner: this image was not scanned.",
}


@SERVICE.operation("PutImage", on=repository_arn)
def put_image(cloud: Cloud, request: Document) -> Document:
    """Take an image whose layers are there, under a tag if one is given."""
    record = repository(cloud, request)
    manifest, tag = request["imageManifest"], request.get("imageTag")
    digest = digest_of(manifest.encode())
    if request.get("imageDigest", digest) != digest:
        raise ServiceError(
            "ImageDigestDoesNotMatchException",
            f"The digest {request['imageDigest']} does not match the manifest's, {digest}",
        )
    described = manifests.described(manifest, request.get("imageManifestMediaType"))
    with catalogue.CHANGING:
        _check_parts(cloud, record, described)
        _check_tag(cloud, record, digest, tag)
        storage(cloud).put(
            record["repositoryName"], manifest.encode(), described["imageManifestMediaType"], digest
        )
        image = _record(cloud, record, digest, tag, described)
        lifecycle.apply(cloud, record["repositoryName"])
    notices.publish(cloud, "PUSH", record, image, tag)
    return {"image": _got(cloud, record, {"imageTag": tag}, image, manifest)}


def _check_tag(cloud: Cloud, record: Record, digest: str, tag: str | None) -> None:
    """Refuse what is there already, and a tag that must not move, before anything is stored."""
    _existing(cloud, record, digest, tag)
    if tag is not None:
        _holder(cloud, record, tag)


def _record(cloud: Cloud, record: Record, digest: str, tag: str | None, described: Record) -> Record:
    """Write down an image that is stored; its tag leaves the image that had it."""
    with repositories(cloud).lock:
        repository(cloud, record)  # it may have been deleted meanwhile
        now = datetime.now(UTC).isoformat()
        new = {"imageDigest": digest, "tags": [], "imagePushedAt": now, **described}
        image = _existing(cloud, record, digest, tag) or new
        if tag is not None:
            if holder := _holder(cloud, record, tag):
                catalogue.untag(cloud, record, holder, tag)
            image["tags"].append(tag)
        catalogue.keep(cloud, record, image)
    return image


def _check_parts(cloud: Cloud, record: Record, described: Record) -> None:
    """Refuse an image without its layers, and an index without its images."""
    name = record["repositoryName"]
    if lacking := layers.missing(cloud, record, described.get("layers", [])):
        raise ServiceError(
            "LayersNotFoundException",
            f"Layers with digests '[{', '.join(lacking)}]' required for pushing image into repository with"
            f" name '{name}' in {where(cloud)} do not exist",
        )
    images = catalogue.table(cloud)
    if lacking := [each for each in described.get("images", []) if f"{name}@{each}" not in images]:
        raise ServiceError(
            "ReferencedImagesNotFoundException",
            f"Images with digests '[{', '.join(lacking)}]' required for pushing image into repository with"
            f" name '{name}' in {where(cloud)} do not exist",
        )


def _existing(cloud: Cloud, record: Record, digest: str, tag: str | None) -> Record | None:
    name = record["repositoryName"]
    image = catalogue.table(cloud).get(f"{name}@{digest}")
    if image is not None and (tag is None or tag in image["tags"]):
        raise ServiceError(
            "ImageAlreadyExistsException",
            f"Image with digest '{digest}' and tag '{tag}' already exists in the repository with name"
            f" '{name}' in {where(cloud)}",
        )
    return image


def _holder(cloud: Cloud, record: Record, tag: str) -> Record | None:
    """Return the image that has the tag, or refuse when tags must not move."""
    holder = catalogue.tagged(cloud, record["repositoryName"], tag)
    if holder is not None and record["imageTagMutability"] == "IMMUTABLE":
        raise ServiceError(
            "ImageTagAlreadyExistsException",
            f"The image tag '{tag}' already exists in the '{record['repositoryName']}' repository and cannot"
            " be overwritten because the tag is immutable.",
        )
    return holder


def find(cloud: Cloud, record: Record, image_id: Document) -> Record | None:
    """Return the image of a digest, a tag, or both when they agree."""
    name, tag, digest = record["repositoryName"], image_id.get("imageTag"), image_id.get("imageDigest")
    image = catalogue.tagged(cloud, name, tag) if tag else catalogue.table(cloud).get(f"{name}@{digest}")
    return image if image is not None and digest in {None, image["imageDigest"]} else None


def _got(cloud: Cloud, record: Record, image_id: Document, image: Record, manifest: str) -> Document:
    return {
        **known(cloud, record),
        "imageId": {"imageDigest": image["imageDigest"], "imageTag": image_id.get("imageTag")},
        "imageManifest": manifest,
        "imageManifestMediaType": image["imageManifestMediaType"],
    }


def _failure(image_id: Document) -> Document:
    named = image_id.get("imageTag") or image_id.get("imageDigest")
    code = "ImageNotFound" if named else "MissingDigestAndTag"
    reason = (
        "Requested image not found" if named else "Invalid request parameters: both tag and digest are null"
    )
    return {"imageId": image_id, "failureCode": code, "failureReason": reason}


def manifest(cloud: Cloud, record: Record, image: Record) -> bytes:
    """Return an image's manifest, byte for byte as it was pushed."""
    return storage(cloud).manifest(record["repositoryName"], image["imageDigest"])


@SERVICE.operation("BatchGetImage", on=repository_arn)
def batch_get_image(cloud: Cloud, request: Document) -> Document:
    """Return manifests by digest or tag."""
    record = repository(cloud, request)
    asked = [(each, find(cloud, record, each)) for each in request["imageIds"]]
    found = [
        _got(cloud, record, each, image, manifest(cloud, record, image).decode())
        for each, image in asked
        if image is not None
    ]
    accepted = request.get("acceptedMediaTypes")
    if accepted and any(each["imageManifestMediaType"] not in accepted for each in found):
        raise ServiceError("InvalidParameterException", "acceptedMediaTypes: no conversion is made here")
    return {"images": found, "failures": [_failure(each) for each, image in asked if image is None]}


def tags(cloud: Cloud, name: str) -> list[str]:
    """Return a repository's tags in their order."""
    return sorted(tag for image in catalogue.pushed(cloud, name) for tag in image["tags"])


def _wanted(request: Document, image: Record) -> bool:
    status = request.get("filter", {}).get("tagStatus", "ANY")
    if request.get("filter", {}).get("imageStatus", "ANY") == "ARCHIVED":
        return False
    return bool(status == "ANY" or (status == "TAGGED") == bool(image["tags"]))


@SERVICE.operation("ListImages", on=repository_arn)
def list_images(cloud: Cloud, request: Document) -> Document:
    """Return digests and tags, one entry for each tag."""
    record = repository(cloud, request)
    found = [
        {"imageDigest": image["imageDigest"], "imageTag": tag}
        for image in catalogue.pushed(cloud, record["repositoryName"])
        if _wanted(request, image)
        for tag in image["tags"] or [None]
    ]
    return paged(request, "imageIds", found)


@SERVICE.operation("DescribeImages", on=repository_arn)
def describe_images(cloud: Cloud, request: Document) -> Document:
    """Return what is known of images: all, or the named ones."""
    record = repository(cloud, request)
    if ids := request.get("imageIds"):
        unique = {image["imageDigest"]: image for image in (_must(cloud, record, each) for each in ids)}
        found = list(unique.values())
    else:
        found = catalogue.pushed(cloud, record["repositoryName"])
    details = [_detail(cloud, record, image) for image in found if _wanted(request, image)]
    return paged(request, "imageDetails", details)


def _must(cloud: Cloud, record: Record, image_id: Document) -> Record:
    image = find(cloud, record, image_id)
    if image is None:
        digest, tag = image_id.get("imageDigest", "null"), image_id.get("imageTag", "null")
        raise ServiceError(
            "ImageNotFoundException",
            f"The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}} does not exist within the"
            f" repository with name '{record['repositoryName']}' in {where(cloud)}",
        )
    return image


def _detail(cloud: Cloud, record: Record, image: Record) -> Document:
    members = (
        "imageDigest",
        "imageSizeInBytes",
        "imagePushedAt",
        "imageManifestMediaType",
        "artifactMediaType",
    )
    scanned = record["imageScanningConfiguration"].get("scanOnPush")
    return {
        **known(cloud, record),
        **{name: image.get(name) for name in members},
        "imageTags": image["tags"] or None,
        "imageScanStatus": NOT_SCANNED if scanned else None,
    }


@SERVICE.operation("DescribeImageScanFindings", on=repository_arn)
def describe_image_scan_findings(cloud: Cloud, request: Document) -> Document:
    """Say that nothing was scanned."""
    record = repository(cloud, request)
    image = _must(cloud, record, request["imageId"])
    if not record["imageScanningConfiguration"].get("scanOnPush"):
        raise ServiceError("ScanNotFoundException", "Image scan does not exist for this image")
    image_id = {"imageDigest": image["imageDigest"], "imageTag": request["imageId"].get("imageTag")}
    return {**known(cloud, record), "imageId": image_id, "imageScanStatus": NOT_SCANNED}


@SERVICE.operation("BatchDeleteImage", on=repository_arn)
def batch_delete_image(cloud: Cloud, request: Document) -> Document:
    """Delete images by digest, or tags; an image goes with its last tag."""
    record = repository(cloud, request)
    deleted: list[Document] = []
    failures: list[Document] = []
    with catalogue.CHANGING, repositories(cloud).lock:
        for image_id in request["imageIds"]:
            image = find(cloud, record, image_id)
            if image is None:
                failures.append(_failure(image_id))
            elif held := _held(cloud, record, image, image_id.get("imageTag")):
                failures.append(_referenced(image_id, held))
            else:
                deleted += _delete(cloud, record, image, image_id.get("imageTag"))
    return {"imageIds": deleted, "failures": failures}


def _held(cloud: Cloud, record: Record, image: Record, tag: str | None) -> list[str]:
    """Return the indexes that keep an image from going, where it would go."""
    if tag and image["tags"] != [tag]:
        return []
    return catalogue.holders(cloud, record["repositoryName"], image["imageDigest"])


def _referenced(image_id: Document, held: list[str]) -> Document:
    reason = f"Requested image referenced by manifest list: [{', '.join(held)}]"
    return {
        "imageId": image_id,
        "failureCode": "ImageReferencedByManifestList",
        "failureReason": reason,
    }


def _delete(cloud: Cloud, record: Record, image: Record, tag: str | None) -> list[Document]:
    gone = [tag] if tag else image["tags"] or [None]
    left = catalogue.untag(cloud, record, image, tag) if tag else image
    if not tag or not left["tags"]:
        catalogue.forget(cloud, record, left)
        notices.publish(cloud, "DELETE", record, image, tag)
    return [{"imageDigest": image["imageDigest"], "imageTag": each} for each in gone]
