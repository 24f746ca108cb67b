"""Checkpoints and results in S3, read and written with the container's own role."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from diffusion.cache import Found
from diffusion.errors import Invalid, Refused, Unreachable

PIECE = 1024 * 1024
#: Larger files go up in parts, four at a time: 64 MB in memory, and 160 GB at most.
PARTS = TransferConfig(
    multipart_threshold=16 * PIECE, multipart_chunksize=16 * PIECE, max_concurrency=4, use_threads=True
)
ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.{1,1024})", re.DOTALL)
#: What S3 says when a request will not succeed by being repeated.
FINAL = {"400", "403", "404", "AccessDenied", "NoSuchBucket", "NoSuchKey", "InvalidObjectState"}


def client(environment: Mapping[str, str] = os.environ) -> Any:
    """Make a client; the endpoint, for one that is not AWS's, and the role come from the environment."""
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    patience = Config(
        connect_timeout=10, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 3}
    )
    return boto3.client("s3", region_name=region, config=patience)


class S3:
    """A store of checkpoints."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def find(self, address: str) -> Found:
        """Say how large an object is, and which version is there."""
        with _translated(address):
            head = self._client.head_object(**_place(address))
        return Found(size=head["ContentLength"], version=head["ETag"])

    def read(self, address: str, version: str) -> Iterator[bytes]:
        """Stream an object, if it is still the version that was found."""
        with _translated(address):
            answer = self._client.get_object(**_place(address), IfMatch=version)
            yield from answer["Body"].iter_chunks(PIECE)

    def write(self, path: Path, address: str, metadata: Mapping[str, str] | None = None) -> None:
        """Upload a file; parts of one that does not arrive whole are taken back."""
        place = _place(address)
        with _translated(address, "written"):
            self._client.upload_file(
                str(path), place["Bucket"], place["Key"], ExtraArgs={"Metadata": metadata or {}}, Config=PARTS
            )


def _place(address: str) -> dict[str, str]:
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise Invalid(f"{address} is not an address like s3://bucket/key")
    return {"Bucket": found["bucket"], "Key": found["key"]}


@contextmanager
def _translated(address: str, done: str = "read") -> Iterator[None]:
    """Say in our words what S3 said; whether to try again is the difference that matters."""
    try:
        yield
    except ClientError as error:
        raise _told(error, address, done) from error
    except (BotoCoreError, Boto3Error, HTTPClientError, OSError) as error:
        if isinstance(error.__context__, ClientError):
            raise _told(error.__context__, address, done) from error
        raise Unreachable(f"{address} cannot be {done}: {type(error).__name__}") from error


def _told(error: ClientError, address: str, done: str) -> Refused:
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    kind = Invalid if code in FINAL else Unreachable
    return kind(f"{address} cannot be {done} with this container's role: S3 says {code}")
