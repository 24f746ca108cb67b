"""Artifacts: where they lie in the bucket, and what is read from and written to them."""

from __future__ import annotations

import secrets
import string
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from atelier.cloud.services.codepipeline.runs import Artifact

ALPHABET = string.ascii_letters + string.digits


def place(pipeline: str, name: str, bucket: str) -> Artifact:
    """Return a new place for an artifact, with a key as AWS makes them."""
    unique = "".join(secrets.choice(ALPHABET) for _ in range(7))
    return Artifact(name=name, bucket=bucket, key=f"{pipeline[:20]}/{name[:10]}/{unique}.zip")


@contextmanager
def opened(s3: Any, artifact: Artifact) -> Iterator[IO[bytes]]:
    """Fetch an artifact into a temporary file."""
    with tempfile.TemporaryFile() as file:
        s3.download_fileobj(artifact.bucket, artifact.key, file)
        file.seek(0)
        yield file


def read(s3: Any, artifact: Artifact, name: str) -> bytes:
    """Return one file of an artifact; raise KeyError when it holds none of that name."""
    with opened(s3, artifact) as file, zipfile.ZipFile(file) as archive:
        return archive.read(name)


def write(s3: Any, artifact: Artifact, files: dict[str, bytes]) -> None:
    """Store *files* as an artifact."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        file.seek(0)
        s3.upload_fileobj(file, artifact.bucket, artifact.key)
