"""One asynchronous inference: input from S3 to the container, its answer to S3, both streamed."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from typing import IO, Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.sagemaker.access import Access, RoleError
from atelier.cloud.services.sagemaker.failures import model_said
from atelier.cloud.services.sagemaker.instance import Instance
from atelier.cloud.services.sagemaker.service import shorten
from atelier.cloud.services.sagemaker.storage import StorageError, explained, location
from atelier.cloud.store import Record

PAYLOAD_LIMIT = 1 << 30
CHUNK = 1 << 18
SAID_LIMIT = 1024
MADE = "application/octet-stream"
TIMED_OUT = "Your invocation timed out while waiting for a response from container primary after {} seconds"

logger = logging.getLogger(__name__)


class Interrupted(Exception):
    """The container went away; the request is to be tried again."""


class Unreached(Interrupted):
    """The container was gone before it saw anything of the request: that is no attempt."""


class Failed(Exception):
    """There will be no answer; the text says why, *body* is what the container said."""

    def __init__(self, reason: str, body: bytes | None = None) -> None:
        super().__init__(shorten(reason))
        self.body = body


def answer(cloud: Cloud, access: Access, instance: Instance, record: Record) -> str:
    """Have a request answered and the answer written to S3; return its content type."""
    folder = cloud.home / "sagemaker" / "answers"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            s3 = access.shared("s3")
            status, content_type = _ask(s3, instance, record, file)
            file.seek(0)
            if not 200 <= status < 300:
                body = file.read()
                said = body[:SAID_LIMIT].decode(errors="replace")
                raise Failed(model_said(status, said, instance.log_stream_arn()), body)
            _put(s3, record["Output"], file, content_type)
    except (StorageError, RoleError) as error:
        raise Failed(f"ClientError: {error}") from error
    return content_type


def keep_failure(access: Access, record: Record, reason: str, body: bytes | None) -> None:
    """Write what went wrong to the failure path, if the endpoint has one."""
    if not record["Failure"]:
        return
    content = json.dumps({"message": reason}).encode() if body is None else body
    try:
        _put(access.shared("s3"), record["Failure"], content, "application/json" if body is None else MADE)
    except (StorageError, RoleError) as error:
        logger.warning("endpoint %s: %s", record["Endpoint"], error)


def _put(s3: Any, uri: str, body: IO[bytes] | bytes, content_type: str) -> None:
    bucket, key = location(uri)
    with explained(f"cannot write {uri}"):
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)


def _ask(s3: Any, instance: Instance, record: Record, into: IO[bytes]) -> tuple[int, str]:
    """Send the input to the container and write its answer to *into*; return status and content type."""
    bucket, key = location(record["Input"])
    with explained(f"cannot read {record['Input']}"):
        found = s3.get_object(Bucket=bucket, Key=key)
        with closing(found["Body"]) as source:
            length = found["ContentLength"]
            if length > PAYLOAD_LIMIT:
                raise Failed(
                    f"ClientError: the input has {length} bytes; at most {PAYLOAD_LIMIT} are accepted"
                )
            return _exchange(instance.port, record, _pieces(source), length, into)


def _pieces(source: Any) -> Iterator[bytes]:
    while piece := source.read(CHUNK):
        yield piece


def _exchange(
    port: int | None, record: Record, body: Iterator[bytes], length: int, into: IO[bytes]
) -> tuple[int, str]:
    if port is None:
        raise Unreached
    deadline = time.monotonic() + record["Timeout"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=record["Timeout"])
    try:
        connection.connect()
        channel = connection.sock
        connection.request("POST", "/invocations", body, _headers(record, length))
        channel.settimeout(_left(deadline))
        with connection.getresponse() as response:
            _copy(response, channel, deadline, into)
            return response.status, response.getheader("Content-Type", MADE)
    except ConnectionRefusedError as error:
        raise Unreached from error
    except TimeoutError as error:
        raise Failed(TIMED_OUT.format(record["Timeout"])) from error
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted from error
    finally:
        connection.close()


def _headers(record: Record, length: int) -> dict[str, str]:
    sent = {
        "Content-Type": record["ContentType"],
        "Accept": record["Accept"],
        "X-Amzn-SageMaker-Custom-Attributes": record["CustomAttributes"],
        "X-Amzn-SageMaker-Inference-Id": record["InferenceId"],
    }
    named = {name: value for name, value in sent.items() if value is not None}
    return {**named, "Content-Length": str(length), "Connection": "close"}


def _copy(
    response: http.client.HTTPResponse, channel: socket.socket, deadline: float, into: IO[bytes]
) -> None:
    size = 0
    while piece := response.read1(CHUNK):
        size += len(piece)
        if size > PAYLOAD_LIMIT:
            raise Failed(f"ModelError: the answer has more than {PAYLOAD_LIMIT} bytes")
        into.write(piece)
        channel.settimeout(_left(deadline))


def _left(deadline: float) -> float:
    """Return the seconds until *deadline*; raise TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
