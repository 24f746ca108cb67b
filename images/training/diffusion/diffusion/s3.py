"""Checkpoints in S3, read with the container's own role."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from diffusion.cache import Found
from diffusion.errors import Invalid, Unreachable

PIECE = 1024 * 1024
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


def _place(address: str) -> dict[str, str]:
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise Invalid(f"{address} is not an address like s3://bucket/key")
    return {"Bucket": found["bucket"], "Key": found["key"]}


@contextmanager
def _translated(address: str) -> Iterator[None]:
    """Say in our words what S3 said; whether to try again is the difference that matters."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        kind = Invalid if code in FINAL else Unreachable
        raise kind(f"{address} cannot be read with this container's role: S3 says {code}") from error
    except (BotoCoreError, HTTPClientError, OSError) as error:
        raise Unreachable(f"{address} cannot be read: {type(error).__name__}") from error
