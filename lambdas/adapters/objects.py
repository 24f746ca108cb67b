"""The objects of the middleware's bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from atelier.lambdas.adapters import faults
from atelier.lambdas.errors import Busy, TooLarge

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
HIDDEN = frozenset({"403", "AccessDenied", "Forbidden"})
"""What S3 says of an object that is not there to one who may list some prefixes only."""

LATER = frozenset(
    {"503", "InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown"}
)

UPLOAD_SECONDS = 15 * 60
DOWNLOAD_SECONDS = 60 * 60


class S3Objects:
    """Objects by key."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def read(self, key: str, most: int) -> bytes | None:
        """Return an object, None when there is none; raise TooLarge for more than *most* bytes."""
        with patience():
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if faults.code(error) in MISSING or (faults.code(error) in HIDDEN and not self.exists(key)):
                    return None
                raise
            with closing(found["Body"]) as body:
                if found["ContentLength"] > most:
                    raise TooLarge(f"{key} has more than {most} bytes")
                return body.read()

    def exists(self, key: str) -> bool:
        """Say whether there is an object."""
        with patience():
            found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1)
        return any(each["Key"] == key for each in found.get("Contents", []))

    def write(self, key: str, body: bytes, content_type: str) -> None:
        """Put an object in place."""
        with patience():
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)

    def delete(self, *keys: str) -> None:
        """Delete objects; none is fine."""
        if not keys:
            return
        with patience():
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": [{"Key": each} for each in keys], "Quiet": True}
            )
        if errors := answer.get("Errors"):
            raise Busy(f"not all objects could be deleted, try again: {errors[0].get('Code', '')}")

    def delete_folder(self, prefix: str) -> None:
        """Delete every object whose key begins so."""
        with patience():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            for page in pages:
                self.delete(*(each["Key"] for each in page.get("Contents", [])))

    def uri(self, key: str) -> str:
        """Return an object's address."""
        return f"s3://{self._bucket}/{key}"

    def key(self, uri: str) -> str | None:
        """Return the key that an address names in this bucket; None when it is another's."""
        scheme = f"s3://{self._bucket}/"
        return uri.removeprefix(scheme) if uri.startswith(scheme) and uri != scheme else None

    def sizes(self, prefix: str, *, after: str = "", until: str = "") -> Iterator[tuple[str, int]]:
        """Return keys and sizes of objects whose key begins so, in order, after one key and up to another."""
        place = {"Bucket": self._bucket, "Prefix": prefix, **({"StartAfter": after} if after else {})}
        with patience():
            for page in self._client.get_paginator("list_objects_v2").paginate(**place):  # type: ignore[arg-type]
                for each in page.get("Contents", []):
                    if until and each["Key"] > until:
                        return
                    yield each["Key"], each["Size"]

    def upload_url(self, key: str, seconds: int = UPLOAD_SECONDS) -> str:
        """Return a link by which a client may put an object in place, for some time.

        It binds no content type: clients of this API send various ones, and the object is never served.
        """
        place = {"Bucket": self._bucket, "Key": key}
        return self._client.generate_presigned_url("put_object", Params=place, ExpiresIn=seconds)

    def download_url(self, key: str) -> str:
        """Return a link by which a client may get an object, for a short time."""
        place = {"Bucket": self._bucket, "Key": key}
        return self._client.generate_presigned_url("get_object", Params=place, ExpiresIn=DOWNLOAD_SECONDS)


@contextmanager
def patience() -> Iterator[None]:
    """Raise Busy for what S3 may do later."""
    try:
        yield
    except (ConnectionError, HTTPClientError) as error:
        raise Busy("the bucket does not answer, try again") from error
    except ClientError as error:
        if faults.code(error) in LATER:
            raise Busy("the bucket is too busy, try again") from error
        raise
