"""The bucket where the fleet's models land."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from atelier.contract import fleet
from atelier.lambdas.adapters import faults
from atelier.lambdas.adapters.objects import MISSING, patience
from atelier.lambdas.domain.fleet import Landed, digest
from atelier.lambdas.errors import Busy
from atelier.lambdas.ports.fleet import Stream

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LARGEST_CHECKSUM = 4096
"""Bytes; sha256sum writes a name after the digits."""


class ModelBucket:
    """Models by name, each with its SHA-256 beside it or in S3's own keeping."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def landed(self) -> Iterator[Landed]:
        """Return the current version of each model's object."""
        current = {each["Key"]: each for each in self._versions() if each.get("IsLatest")}
        for key, each in current.items():
            found = fleet.KEY.fullmatch(key)
            if found is None:
                continue
            beside = current.get(fleet.beside(key))
            yield Landed(
                name=found["name"],
                bucket=self._bucket,
                key=key,
                version_id=each["VersionId"],
                size=each["Size"],
                landed=_moment(each["LastModified"]),
                beside=beside["VersionId"] if beside else "",
                beside_landed=_moment(beside["LastModified"]) if beside else "",
            )

    def _versions(self) -> Iterator[Any]:
        with patience():
            pages = self._client.get_paginator("list_object_versions")
            for page in pages.paginate(Bucket=self._bucket, Prefix=fleet.PREFIX):
                yield from page.get("Versions", [])

    def sha256(self, landed: Landed) -> str | None:
        """Return what lies beside the model, else what S3 itself computed of the whole object."""
        with patience():
            if landed.beside:
                return self._beside(landed)
            head = self._client.head_object(
                Bucket=self._bucket,
                Key=landed.key,
                VersionId=landed.version_id,
                ChecksumMode="ENABLED",
            )
        whole = head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
        said = head.get("ChecksumSHA256", "")
        return base64.b64decode(said).hex() if said and whole and "-" not in said else None

    def _beside(self, landed: Landed) -> str | None:
        try:
            found = self._client.get_object(
                Bucket=self._bucket, Key=fleet.beside(landed.key), VersionId=landed.beside
            )
        except ClientError as error:
            if faults.code(error) in {*MISSING, "NoSuchVersion"}:
                return None
            raise
        with closing(found["Body"]) as body:
            return digest(body.read(LARGEST_CHECKSUM).decode("ascii", "replace"))

    @contextmanager
    def opened(self, landed: Landed) -> Iterator[Stream]:
        """Open that version of the object; raise Busy when it is cut off on the way."""
        with patience():
            found = self._client.get_object(Bucket=self._bucket, Key=landed.key, VersionId=landed.version_id)
        with closing(found["Body"]) as body, patience():
            yield Whole(body, found["ContentLength"])


class Whole:
    """A stream that must not end early: what was cut off on the way must not look like a broken model."""

    def __init__(self, body: Stream, size: int) -> None:
        self._body = body
        self._left = size

    def read(self, amount: int, /) -> bytes:
        """Return the next bytes."""
        piece = self._body.read(amount)
        self._left -= len(piece)
        if not piece and self._left > 0:
            raise Busy(f"S3 left off {self._left} bytes before the end, try again")
        return piece


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="microseconds")
