"""Training data: text, kept by version; the version is a hash of what it holds."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pydoc_data import topics
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from atelier.client.errors import Problem
from atelier.contract.events import DATA_POINTER, DATA_PREFIX

if TYPE_CHECKING:
    from atelier.client.session import Clients

VERSION_LENGTH = 16
BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Uploaded data: its version, and what it holds."""

    version: str
    files: int
    size: int
    is_new: bool


def reference_text() -> str:
    """Return real English that every Python brings: the reference text behind `help()`, half a megabyte."""
    return "\n\n".join(text.strip() for _, text in sorted(topics.topics.items())) + "\n"


def check(path: Path) -> None:
    """Raise Problem for a file or folder that training would refuse: it must hold text, and nothing else."""
    for name, file in _files(path).items():
        try:
            with file.open(encoding="utf-8") as text:
                is_text = not any("\0" in part for part in iter(partial(text.read, BLOCK), ""))
        except UnicodeDecodeError:
            is_text = False
        except OSError as error:
            raise Problem(f"{file} cannot be read: {error.strerror}") from error
        if not is_text:
            raise Problem(f"{name} is not UTF-8 text: training would refuse it")


def upload_reference(clients: Clients, bucket: str) -> Dataset:
    """Upload the reference text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "topics.txt"
        path.write_text(reference_text(), encoding="utf-8")
        return upload(clients, bucket, path)


def upload(clients: Clients, bucket: str, path: Path) -> Dataset:
    """Upload a file, or all files of a folder, and make it the latest version.

    The pointer moves last, so a run never sees half a version.
    """
    files = _files(path)
    version = _version(files)
    stored = f"{DATA_PREFIX}{version}/"
    is_new = not _complete(clients, bucket, stored, files)
    if is_new:
        for name, file in files.items():
            clients.s3.upload_file(str(file), bucket, stored + name)
    if _latest(clients, bucket) != version:
        clients.s3.put_object(
            Bucket=bucket, Key=DATA_POINTER, Body=version.encode(), ContentType="text/plain"
        )
    size = sum(file.stat().st_size for file in files.values())
    return Dataset(version=version, files=len(files), size=size, is_new=is_new)


def _files(path: Path) -> dict[str, Path]:
    if path.is_file():
        found = {path.name: path}
    elif path.is_dir():
        found = {
            file.relative_to(path).as_posix(): file
            for file in sorted(path.rglob("*"))
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
        }
    else:
        raise Problem(f"there is no file or folder {path} to take training data from")
    if not any(file.stat().st_size for file in found.values()):
        raise Problem(f"{path} holds no text to train on")
    return found


def _version(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        digest.update(f"{name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()[:VERSION_LENGTH]


def _complete(clients: Clients, bucket: str, prefix: str, files: Mapping[str, Path]) -> bool:
    pages = clients.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    there = {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", [])}
    return there == {prefix + name: file.stat().st_size for name, file in files.items()}


def _latest(clients: Clients, bucket: str) -> str | None:
    try:
        found = clients.s3.get_object(Bucket=bucket, Key=DATA_POINTER)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
            return None
        raise
    return found["Body"].read().decode().strip()
