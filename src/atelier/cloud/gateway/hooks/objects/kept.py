"""Bodies as ministack keeps them: linked into place, never loaded, and their space freed when they go."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from atelier.cloud.gateway.hooks.objects import aside, checksums
from atelier.cloud.gateway.hooks.objects.refused import Refused
from atelier.cloud.gateway.hooks.objects.stored import Stored
from atelier.cloud.gateway.hooks.private import replace, use

S3 = "services.s3"

# Held while a file gets its place, and while the folders of one that went are removed: copies have a thread.
_folders = threading.Lock()


def install(folder: Path) -> None:
    """Teach ministack's functions that look into a body, or save one, to take a `Stored`."""
    replace(S3, "md5_hash", "data", by=_md5)
    replace(S3, "_compute_s3_checksum", "algorithm", "body", by=_checksum)
    replace(S3, "_validate_content_md5", "headers", "body", by=_content_md5)
    replace(S3, "_atomic_write", "fpath", "data", "text", by=lambda original: _placed(original, folder))
    replace(S3, "_read_body", "bucket_name", "key", "obj", by=_left_on_disk)
    replace(S3, "_version_entry_from_record", "obj", "version_id", "data", by=_without_content)
    replace(S3, "_version_body", "bucket", "bucket_name", "key", "v", by=_version_left_on_disk)
    replace(S3, "_remove_key_files", "fpath", by=_removed)
    replace(S3, "_delete_version_file", "bucket_name", "key", "version_id", by=_version_removed)
    replace(S3, "_persist_delete_marker", "bucket_name", "key", "marker", by=_only_marked)


def _md5(original: Callable[[bytes], str]) -> Callable[[Any], str]:
    return lambda data: data.digest("MD5").hex() if isinstance(data, Stored) else original(data)


def _checksum(original: Callable[[str, bytes], str | None]) -> Callable[[str, Any], str | None]:
    def compute(algorithm: str, body: Any) -> str | None:
        name = checksums.canonical(algorithm or "")
        if not isinstance(body, Stored) or name not in checksums.ALGORITHMS:
            return original(algorithm, b"" if isinstance(body, Stored) else body)
        return base64.b64encode(body.digest(name)).decode()

    return compute


def _content_md5(original: Callable[[dict[str, str], bytes], Any]) -> Callable[[dict[str, str], Any], Any]:
    words = "The Content-MD5 you specified did not match what we received."

    def validate(headers: dict[str, str], body: Any) -> Any:
        given = headers.get("content-md5", "")
        if not given or not isinstance(body, Stored):
            return original(headers, body)
        if given == base64.b64encode(body.digest("MD5")).decode():
            return None
        return original(headers, b"") or Refused("BadDigest", words).answer()

    return validate


def _placed(original: Callable[..., None], folder: Path) -> Callable[..., None]:
    def write(fpath: str, data: Any, *, text: bool = False) -> None:
        with _folders, aside.freeing(Path(fpath)):
            Path(fpath).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if isinstance(data, Stored):
                data.place(Path(fpath), folder)
            else:
                original(fpath, data, text=text)

    return write


def _left_on_disk(original: Callable[..., Any]) -> Callable[..., Any]:
    where = use(S3, "_object_disk_path", "bucket", "key", "account_id")

    def read(bucket_name: str, key: str, obj: dict[str, Any]) -> Any:
        if obj.get("body") is None and obj.get("size", 0) >= aside.LARGE:
            return Stored.at(Path(where(bucket_name, key)))
        return original(bucket_name, key, obj)

    return read


def _without_content(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let a version's content, however small, be on disk only: versions are many."""
    return lambda obj, version_id, data: original(obj, version_id, None)


def _version_left_on_disk(original: Callable[..., Any]) -> Callable[..., Any]:
    where = use(S3, "_version_disk_path", "bucket", "key", "version_id", "account_id")

    def body(bucket: dict[str, Any], bucket_name: str, key: str, v: dict[str, Any]) -> Any:
        path = where(bucket_name, key, v["version_id"])
        if v.get("data") is None and v.get("size", 0) >= aside.LARGE and path and Path(path).is_file():
            return Stored.at(Path(path))
        return original(bucket, bucket_name, key, v)

    return body


def _removed(original: Callable[[str | None], None]) -> Callable[[str | None], None]:
    def remove(fpath: str | None) -> None:
        with aside.freeing(Path(fpath or "")):
            original(fpath)
        if fpath:
            _prune(Path(fpath))

    return remove


def _prune(path: Path) -> None:
    """Remove the folders that are empty without *path*: a start would take one for a bucket."""
    root = Path(use(S3, "DATA_DIR", checked=False))
    with _folders, suppress(OSError):
        for folder in path.parents:
            if not folder.is_relative_to(root) or folder == root:
                break
            folder.rmdir()


def _version_removed(original: Callable[[str, str, str], None]) -> Callable[[str, str, str], None]:
    where = use(S3, "_version_disk_path", "bucket", "key", "version_id", "account_id")

    def remove(bucket_name: str, key: str, version_id: str) -> None:
        path = Path(where(bucket_name, key, version_id) or "")
        with aside.freeing(path):
            original(bucket_name, key, version_id)
        _prune(path)

    return remove


def _only_marked(original: Callable[[str, str, Any], None]) -> Callable[[str, str, Any], None]:
    """Remove the file of what a delete marker hides, once each version has a file of its own."""
    where = use(S3, "_object_disk_path", "bucket", "key", "account_id")
    has_file = use(S3, "_version_file_exists", "bucket_name", "key", "version_id", "account_id")
    versions = use(S3, "_object_versions", checked=False)

    def persist(bucket_name: str, key: str, marker: Any) -> None:
        original(bucket_name, key, marker)
        real = [each for each in versions.get((bucket_name, key)) or [] if not each.get("is_delete_marker")]
        if all(has_file(bucket_name, key, each["version_id"]) for each in real):
            aside.remove(Path(where(bucket_name, key)))

    return persist
