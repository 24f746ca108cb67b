"""Training data and model artefacts, in S3."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atelier.contract.events import DATA_POINTER, DATA_PREFIX
from atelier.lambdas.adapters import faults
from atelier.lambdas.errors import Failed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK = 1024 * 1024


class DataBucket:
    """Versions of the training data: folders, and a pointer to the latest."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def latest(self) -> str | None:
        """Return the version that the pointer names."""
        try:
            with closing(self._client.get_object(Bucket=self._bucket, Key=DATA_POINTER)["Body"]) as body:
                return body.read().decode().strip()
        except ClientError as error:
            if faults.code(error) == "NoSuchKey":
                return None
            raise

    def locate(self, version: str) -> str | None:
        """Return where the data of that version lies, if there is any."""
        prefix = f"{DATA_PREFIX}{version}/"
        found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=1)
        return f"s3://{self._bucket}/{prefix}" if found.get("KeyCount") else None


class S3Artifacts:
    """Model artefacts by their URI."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def sha256(self, uri: str) -> str:
        """Return the digest of an artefact, read in pieces."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        digest = hashlib.sha256()
        try:
            with closing(self._client.get_object(Bucket=bucket, Key=key)["Body"]) as body:
                for chunk in body.iter_chunks(CHUNK):
                    digest.update(chunk)
        except ClientError as error:
            raise Failed(f"the model artefact {uri} cannot be read: {faults.text(error)}") from error
        return digest.hexdigest()
