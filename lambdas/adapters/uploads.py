"""Files of checkpoints in S3: how they come in parts, how they begin, and their digests.

Functions need, on ``checkpoints/*``: PutObject and AbortMultipartUpload to upload (a link to upload a part
is worth what its maker may do), GetObject to check, DeleteObject to delete; and ListBucket with that prefix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atelier.lambdas.adapters import faults
from atelier.lambdas.adapters.objects import MISSING, patience
from atelier.lambdas.domain.checkpoints import File
from atelier.lambdas.errors import Conflict, Invalid

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LINK_SECONDS = 12 * 3600
"""For slow lines; a link is worth no more than the credentials that signed it, which end earlier at times."""

CHUNK = 4 * 1024 * 1024
GONE = frozenset({"404", "NoSuchUpload"})
WRONG = frozenset({"EntityTooSmall", "InvalidPart", "InvalidPartOrder", "MalformedXML", "InvalidArgument"})


class S3Uploads:
    """Files that come in parts."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def begin(self, key: str) -> str:
        """Begin an upload and return its id."""
        with patience():
            begun = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType="application/octet-stream"
            )
        return begun["UploadId"]

    def urls(self, file: File, parts: int) -> tuple[str, ...]:
        """Return a link for each part, by which a client may upload it."""
        return tuple(
            self._client.generate_presigned_url(
                "upload_part",
                Params={
                    "Bucket": self._bucket,
                    "Key": file.key,
                    "UploadId": file.upload,
                    "PartNumber": number,
                },
                ExpiresIn=LINK_SECONDS,
            )
            for number in range(1, parts + 1)
        )

    def put(self, file: File, number: int, body: bytes) -> str:
        """Upload a part and return its tag; Conflict when the upload is no more."""
        with patience():
            try:
                answer = self._client.upload_part(
                    Bucket=self._bucket, Key=file.key, UploadId=file.upload, PartNumber=number, Body=body
                )
            except ClientError as error:
                if faults.code(error) in GONE:
                    raise Conflict(f"the upload of {file.name} is no more") from error
                raise
        return answer["ETag"]

    def complete(self, file: File, tags: Mapping[int, str]) -> None:
        """Make a file of its parts; one that is made is fine. Invalid says what is wrong with the parts."""
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in sorted(tags.items())]
        with patience():
            try:
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=file.key,
                    UploadId=file.upload,
                    MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
                )
            except ClientError as error:
                self._refused(file, error)

    def _refused(self, file: File, error: ClientError) -> None:
        """Say why an upload cannot be completed, unless it was."""
        code = faults.code(error)
        if code in GONE:
            if self._exists(file.key):
                return
            raise Invalid(f"the upload of {file.name} is no more") from error
        if code in WRONG:
            raise Invalid(f"{file.name}: {faults.text(error)}") from error
        raise error

    def abort(self, file: File) -> None:
        """Forget the parts; none is fine."""
        with patience():
            try:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=file.key, UploadId=file.upload)
            except ClientError as error:
                if faults.code(error) not in GONE:
                    raise

    def begins(self, key: str, count: int) -> tuple[int, bytes]:
        """Return a file's size and its first bytes."""
        with patience():
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes=0-{count - 1}")
            except ClientError as error:
                if faults.code(error) in {"InvalidRange", "416"}:
                    return 0, b""  # an empty file has no first byte
                raise
            with closing(found["Body"]) as body:
                start = body.read()
        return int(found["ContentRange"].rpartition("/")[2]), start

    def _exists(self, key: str) -> bool:
        found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1)
        return any(each["Key"] == key for each in found.get("Contents", []))


class S3Contents:
    """Files that are in place."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def sha256(self, key: str) -> str | None:
        """Return the digest of a file, read in pieces; None when there is no such file."""
        digest = hashlib.sha256()
        with patience():
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if faults.code(error) in MISSING:
                    return None
                raise
            with closing(found["Body"]) as body:
                for chunk in body.iter_chunks(CHUNK):
                    digest.update(chunk)
        return digest.hexdigest()
