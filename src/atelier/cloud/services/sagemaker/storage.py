"""S3 as training jobs and endpoints use it, with a role's credentials and files on disk, never in memory."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from atelier.cloud.context import Refused

TRANSFER = TransferConfig(multipart_threshold=16 << 20, multipart_chunksize=16 << 20, max_concurrency=4)


class StorageError(Exception):
    """Something that S3 refused or did not have; the text names the object."""


def location(uri: str) -> tuple[str, str]:
    """Split ``s3://bucket/key``; refuse another form."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise Refused(f"Unsupported: {uri} is no s3:// location")
    return bucket, key


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn S3's errors into a StorageError that names *what* was wanted."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "?")
        text = error.response.get("Error", {}).get("Message", "")
        raise StorageError(f"{what}: {code}: {text}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise StorageError(f"{what}: {error}") from error


def objects(s3: Any, uri: str) -> list[tuple[str, int]]:
    """Return keys and sizes of what has *uri* as its prefix, without folders' markers."""
    bucket, prefix = location(uri)
    with explained(f"cannot list {uri}"):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [(each["Key"], each["Size"]) for page in pages for each in page.get("Contents", [])]
    return [(key, size) for key, size in found if not key.endswith("/")]


def download_all(s3: Any, uri: str, into: Path, *, check: Callable[[], None]) -> int:
    """Copy everything under the prefix *uri* into a folder; return how many objects that were.

    *check* is called as bytes arrive, and ends the transfer by raising.
    """
    bucket, prefix = location(uri)
    found = objects(s3, uri)
    for key, _ in found:
        check()
        target = inside(into, relative(key, prefix), key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            download(s3, f"s3://{bucket}/{key}", target, check=check)
        except OSError as error:
            raise StorageError(f"cannot write s3://{bucket}/{key} to disk: {error.strerror}") from error
    return len(found)


def download(s3: Any, uri: str, target: Path, *, check: Callable[[], None]) -> None:
    """Copy one object to the file *target*."""
    bucket, key = location(uri)
    with explained(f"cannot read {uri}"):
        s3.download_file(bucket, key, str(target), Callback=lambda _: check(), Config=TRANSFER)


def upload(s3: Any, path: Path, uri: str) -> None:
    """Copy one file to the object *uri*."""
    bucket, key = location(uri)
    with explained(f"cannot write {uri}"):
        s3.upload_file(str(path), bucket, key, Config=TRANSFER)


def relative(key: str, prefix: str) -> str:
    """Return where SageMaker puts an object of a channel: the key behind the prefix' last folder."""
    if key.startswith(prefix.rstrip("/") + "/"):
        return key[len(prefix.rstrip("/")) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def inside(folder: Path, name: str, key: str) -> Path:
    """Return ``folder/name``; refuse a *key* that leads out of the folder."""
    target = folder / name.lstrip("/")
    if ".." in target.relative_to(folder).parts:
        raise StorageError(f"the key {key} leads out of its folder")
    return target


def pack(folder: Path, archive: Path) -> None:
    """Write a folder's content as a ``tar.gz``; weights hardly shrink, so speed goes before size."""
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for each in sorted(folder.iterdir()):
            tar.add(each, each.name)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a ``tar.gz`` that a stranger may have made: nothing leaves *folder*, no device, no setuid."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:*") as tar:
            tar.extractall(folder, filter="data")
    except tarfile.FilterError as error:
        raise StorageError(f"the archive is refused: {error}") from error
    except (tarfile.TarError, EOFError, OSError) as error:
        raise StorageError(f"not a readable tar archive: {error}") from error


class Mirror:
    """A folder kept in S3: files that changed since the last look are copied there."""

    def __init__(self, folder: Path, uri: str) -> None:
        self._folder = folder
        self._uri = uri.rstrip("/")
        self._seen: dict[Path, tuple[int, int] | None] = {}

    def restore(self, s3: Any, *, check: Callable[[], None]) -> int:
        """Fetch what S3 has; return how many files that were."""
        count = download_all(s3, self._uri + "/", self._folder, check=check)
        self._seen = {path: _state(path) for path in self._files()}
        return count

    def changed(self) -> list[Path]:
        """Return the files that S3 does not have as they are."""
        return [path for path in self._files() if self._seen.get(path) != _state(path)]

    def push(self, s3: Any) -> None:
        """Copy new and changed files to S3; a file that vanishes meanwhile was only a step of the writer."""
        for path in self.changed():
            state = _state(path)
            try:
                upload(s3, path, f"{self._uri}/{path.relative_to(self._folder).as_posix()}")
            except FileNotFoundError:
                continue
            self._seen[path] = state

    def _files(self) -> list[Path]:
        """Return the files that are there; folders may come and go while this looks."""
        walked = os.walk(self._folder)
        paths = (Path(folder, name) for folder, _, names in walked for name in names)
        return sorted(path for path in paths if path.is_file() and not path.is_symlink())


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size
