"""CompleteMultipartUpload, put together on disk: ministack's own joins all parts in memory.

The checks are those of S3, in its order; what follows a written object (versions, replicas, events, its file)
is ministack's.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, ParseError, SubElement

from atelier.cloud.gateway.hooks.objects.aside import on_loop
from atelier.cloud.gateway.hooks.objects.refused import Answer, Refused
from atelier.cloud.gateway.hooks.objects.stored import Stored, joined
from atelier.cloud.gateway.hooks.private import replace, use

S3 = "services.s3"
SMALLEST = 5 << 20  # of every part but the last
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MALFORMED = "The XML you provided was not well-formed or did not validate against our published schema"
INVALID_PART = (
    "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
    "specified entity tag may not match the part's entity tag. The following part numbers are invalid: "
)

Upload = dict[str, Any]


@dataclass(frozen=True)
class Named:
    """A part as the client names it."""

    number: int
    etag: str
    checksums: Mapping[str, str]


def install(folder: Path) -> None:
    """Complete uploads in *folder*."""
    completion = Completion(folder)
    replace(
        S3,
        "_complete_multipart_upload",
        *("bucket_name", "key", "body", "query_params", "headers"),
        by=lambda _: completion.run,
    )


class Completion:
    """What completing needs of ministack, checked at start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uploads = use(S3, "_multipart_uploads", checked=False)
        self._completed = use(S3, "_completed_multipart_uploads", checked=False)
        self._bucket = use(S3, "_ensure_bucket", "name")
        self._no_bucket = use(S3, "_no_such_bucket", "name")
        self._customer_key = use(S3, "_check_sse_c_part", "headers", "upload")
        self._conditions = use(S3, "_check_put_preconditions", "headers", "existing_obj")
        self._composite = use(S3, "_composite_checksum", "algorithm", "part_checksums")
        self._replicate = use(S3, "_maybe_replicate", "bucket_name", "key", "obj", "data", "tags")
        self._version = use(S3, "_record_object_version", "bucket_name", "key", "prior_obj", "obj", "data")
        self._event = use(S3, "_fire_s3_event_async", checked=False)
        self._persist = use(S3, "_persist_object", "bucket", "key", "obj")
        self._encryption = use(S3, "_stored_sse_headers", "obj")
        self._now = use("core.responses", "now_iso")

    def run(
        self,
        bucket_name: str,
        key: str,
        body: bytes,
        query_params: Mapping[str, Any],
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Answer a call of CompleteMultipartUpload."""
        bucket = self._bucket(bucket_name)
        if bucket is None:
            return self._no_bucket(bucket_name)  # type: ignore[no-any-return]
        upload_id = query_params["uploadId"][0]
        upload = self._uploads.get(upload_id) or {}
        with upload.setdefault("lock", threading.Lock()):  # a client that tries again waits for the first try
            done = self._completed.get(upload_id)
            if done is not None and done.get("key") == key:
                return done["response"]  # type: ignore[no-any-return]
            try:
                self._check_upload(upload_id, bucket_name, key)
                refused = self._customer_key(headers or {}, upload) or self._conditions(
                    headers or {}, bucket["objects"].get(key)
                )
                answer = refused or self._complete(upload, bucket, named_in(body), headers or {})
            except Refused as refusal:
                return refusal.answer()
            if not refused:
                on_loop(partial(self._end, upload_id, key, answer))
            return answer

    def _end(self, upload_id: str, key: str, answer: Answer) -> None:
        self._uploads.pop(upload_id, None)
        self._completed[upload_id] = {"key": key, "response": answer}

    def _check_upload(self, upload_id: str, bucket_name: str, key: str) -> None:
        upload = self._uploads.get(upload_id)
        if upload is None or (upload["bucket"], upload["key"]) != (bucket_name, key):
            raise Refused("NoSuchUpload", "The specified multipart upload does not exist.", 404)

    def _complete(
        self, upload: Upload, bucket: dict[str, Any], named: Sequence[Named], headers: Mapping[str, str]
    ) -> Answer:
        parts = [chosen(upload, each) for each in named]
        check_sizes(parts, headers)
        algorithm = upload.get("checksum_algorithm")
        composite = self._composite(algorithm, [each["checksums"].get(algorithm) for each in parts])
        check_checksum(algorithm, composite, headers)
        content = joined([each["body"] for each in parts], self._folder)
        tags = b"".join(bytes.fromhex(each["etag"].strip('"')) for each in parts)
        digest = hashlib.md5(tags, usedforsecurity=False).hexdigest()
        record = {
            "body": content,
            "content_type": upload["content_type"],
            "content_encoding": upload.get("content_encoding"),
            "etag": f'"{digest}-{len(parts)}"',
            "last_modified": self._now(),
            "size": len(content),
            "metadata": upload["metadata"],
            "preserved_headers": upload.get("preserved_headers", {}),
            "storage_class": upload.get("storage_class") or "STANDARD",
            "parts": [
                {"PartNumber": name.number, "Size": len(part["body"])}
                for name, part in zip(named, parts, strict=True)
            ],
            "checksums": {algorithm: composite} if composite else {},
            "checksum_type": "COMPOSITE" if composite else None,
        }
        version = on_loop(partial(self._put, upload, bucket, record, content))
        answered = {"Content-Type": "application/xml", **self._encryption(record)}
        if version:
            answered["x-amz-version-id"] = version
        return 200, answered, result(upload, record, headers)

    def _put(
        self, upload: Upload, bucket: dict[str, Any], record: dict[str, Any], content: bytes | Stored
    ) -> str | None:
        where = (upload["bucket"], upload["key"])
        before = bucket["objects"].get(upload["key"])
        bucket["objects"][upload["key"]] = record
        self._replicate(*where, record, content)
        version: str | None = self._version(*where, before, record, content)
        self._event(
            *where,
            "s3:ObjectCreated:CompleteMultipartUpload",
            size=record["size"],
            etag=record["etag"],
            version_id=version,
        )
        self._persist(*where, record)
        return version


def named_in(body: bytes) -> Sequence[Named]:
    """Return the parts that the client names, each number above the one before."""
    try:
        root = ElementTree.fromstring(body)
        named = [_named(each) for each in root.iter() if _local(each) == "Part"]
    except (ParseError, KeyError, ValueError) as error:
        raise Refused("MalformedXML", MALFORMED) from error
    if not named:
        raise Refused("MalformedXML", MALFORMED)
    numbers = [each.number for each in named]
    if numbers != sorted(set(numbers)):
        raise Refused(
            "InvalidPartOrder",
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        )
    return named


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _named(part: Element) -> Named:
    children = {_local(each): (each.text or "").strip() for each in part}
    sums = {
        name.removeprefix("Checksum").upper(): value
        for name, value in children.items()
        if name.startswith("Checksum") and value
    }
    return Named(int(children["PartNumber"]), children["ETag"].strip('"'), sums)


def chosen(upload: Upload, named: Named) -> dict[str, Any]:
    """Return the uploaded part that is named; refuse another content than the client means."""
    part = upload["parts"].get(named.number)
    if part is None or named.etag != part["etag"].strip('"'):
        raise Refused("InvalidPart", f"{INVALID_PART}{named.number}")
    sums = part.get("checksums") or {}
    if any(sums.get(name) != value for name, value in named.checksums.items()):
        raise Refused("InvalidPart", f"{INVALID_PART}{named.number}")
    return {**part, "checksums": sums}


def check_sizes(parts: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> None:
    """Refuse a small part before the last, and another total than the client announces."""
    if any(each["size"] < SMALLEST for each in parts[:-1]):
        raise Refused(
            "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size."
        )
    declared, actual = headers.get("x-amz-mp-object-size"), sum(each["size"] for each in parts)
    if declared is None:
        return
    if not re.fullmatch(r"[0-9]+", declared):
        raise Refused("InvalidRequest", f"Value for x-amz-mp-object-size header is invalid: '{declared}'")
    if int(declared) != actual:
        raise Refused(
            "InvalidRequest",
            f"The provided 'x-amz-mp-object-size' header value {declared} does not match what was "
            f"computed: {actual}",
        )


def check_checksum(algorithm: str | None, composite: str | None, headers: Mapping[str, str]) -> None:
    """Refuse another checksum of the whole than the client announces."""
    given = headers.get(f"x-amz-checksum-{algorithm.lower()}") if algorithm else None
    if given and given != composite:
        raise Refused("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def result(upload: Upload, record: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
    """Return the answer's document."""
    root = Element("CompleteMultipartUploadResult", xmlns=NAMESPACE)
    scheme, host = headers.get("x-forwarded-proto") or "http", headers.get("host", "localhost")
    SubElement(root, "Location").text = f"{scheme}://{host}/{upload['bucket']}/{upload['key']}"
    SubElement(root, "Bucket").text = upload["bucket"]
    SubElement(root, "Key").text = upload["key"]
    SubElement(root, "ETag").text = record["etag"]
    for algorithm, value in record["checksums"].items():
        SubElement(root, f"Checksum{algorithm}").text = value
        SubElement(root, "ChecksumType").text = record["checksum_type"]
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document
