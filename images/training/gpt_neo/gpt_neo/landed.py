"""The model that a parameter names: fetched, checked against its SHA-256, and unpacked."""

import hashlib
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from gpt_neo.artefact import NEEDED
from gpt_neo.errors import Failure

PIECE = 1024 * 1024
#: An archive may hold more; nothing else of it is of use here, and nothing else is written.
TAKEN = frozenset({*NEEDED, "metrics.json"})
#: Bytes of the archive, and when unpacked: both lie on the 20 GiB of a task, beside its image.
LARGEST = 6 * 1024**3
#: A download that was cut off begins anew so many times.
ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class Named:
    """One version of one object, as the parameter says it."""

    name: str
    bucket: str
    key: str
    version_id: str
    sha256: str
    size: int
    landed: str

    @property
    def about(self) -> dict[str, str]:
        """What tells it from others in an answer."""
        return {"name": self.name, "sha256": self.sha256, "landed": self.landed}


def client(service: str, environment: Mapping[str, str] = os.environ) -> Any:
    """Make a client; where it asks, and as whom, is the environment's business."""
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    patience = Config(
        connect_timeout=10, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 5}
    )
    return boto3.client(service, region_name=region, config=patience)  # type: ignore[call-overload]


def named(ssm: Any, parameter: str) -> Named:
    """Read which model to serve; of a version that SSM has forgotten, the newest counts."""
    try:
        text = _value(ssm, parameter)
    except (BotoCoreError, ClientError, HTTPClientError) as error:
        raise Failure(f"the parameter {parameter} cannot be read: {error}") from error
    try:
        read = json.loads(text)
        return Named(**{each.name: each.type(read[each.name]) for each in fields(Named)})  # type: ignore[operator]
    except (ValueError, TypeError, KeyError) as error:
        raise Failure(f"the parameter {parameter} names no model: {error!r}") from error


def _value(ssm: Any, parameter: str) -> str:
    try:
        found = ssm.get_parameter(Name=parameter)
    except ClientError as error:
        name, colon, _ = parameter.partition(":")
        if not colon or error.response["Error"]["Code"] != "ParameterVersionNotFound":
            raise
        found = ssm.get_parameter(Name=name)
    return str(found["Parameter"]["Value"])


def fetch(s3: Any, model: Named, folder: Path) -> Path:
    """Download that version of the object and unpack what is needed of it; return where."""
    if model.size > LARGEST:
        raise Failure(f"{_place(model)} is larger than {LARGEST >> 30} GiB")
    archive = folder / "model.tar.gz"
    digest = _download(s3, model, archive)
    if digest != model.sha256:
        raise Failure(f"{_place(model)} has the SHA-256 {digest}, not {model.sha256}")
    unpacked = folder / "model"
    unpacked.mkdir()
    try:
        _unpack(archive, unpacked)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise Failure(f"{_place(model)} is no whole .tar.gz: {error}") from error
    archive.unlink()
    return unpacked


def _download(s3: Any, model: Named, path: Path) -> str:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _written(_pieces(s3, model), path)
        except ClientError as error:
            raise Failure(f"{_place(model)} cannot be read: {error}") from error
        except (BotoCoreError, HTTPClientError, ConnectionError) as error:
            if attempt == ATTEMPTS:
                raise Failure(f"{_place(model)} cannot be read: {error}") from error
    raise AssertionError("a loop that returns or raises")


def _pieces(s3: Any, model: Named) -> Iterator[bytes]:
    answer = s3.get_object(Bucket=model.bucket, Key=model.key, VersionId=model.version_id)
    yield from answer["Body"].iter_chunks(PIECE)


def _written(pieces: Iterator[bytes], path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _unpack(archive: Path, folder: Path) -> None:
    """Write the files that are needed, each under its own plain name: whatever else the archive says."""
    left = LARGEST
    with tarfile.open(archive, "r:gz") as packed:
        for member in packed:
            name = member.name.removeprefix("./")
            if name not in TAKEN or not member.isfile():
                continue
            left -= member.size
            if left < 0:
                raise Failure(f"the model unpacks to more than {LARGEST >> 30} GiB")
            file = packed.extractfile(member)
            assert file is not None
            with (folder / name).open("wb") as target:
                shutil.copyfileobj(file, target, PIECE)


def _place(model: Named) -> str:
    return f"s3://{model.bucket}/{model.key} (version {model.version_id})"
