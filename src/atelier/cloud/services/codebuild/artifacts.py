"""What a build hands on: files that its globs match, zipped or one by one, in S3."""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from atelier.cloud.context import Cloud, Credentials
from atelier.cloud.services.codebuild.buildspec import Artifacts
from atelier.cloud.services.codebuild.failures import Failure

Say = Callable[[str], None]


def matching(root: Path, artifacts: Artifacts, say: Say = lambda line: None) -> dict[str, Path]:
    """Return the files that the globs match below the base directory, by their name in the artifact."""
    say(f"Expanding base directory path: {artifacts.base_directory}")
    base = _base(root, artifacts.base_directory)
    everything = dict(sorted(_files(base)))
    excluded = [pattern(each) for each in artifacts.exclude_paths]
    found: dict[str, Path] = {}
    for glob in artifacts.files:
        wanted = pattern(glob)
        matched = [
            name
            for name in everything
            if wanted.fullmatch(name) and not any(x.fullmatch(name) for x in excluded)
        ]
        say(f"Expanding {glob}")
        say(f"Found {len(matched)} file(s)")
        found.update({name: everything[name] for name in matched})
    if not found:
        raise Failure("no matching artifact paths found")
    return _flat(found) if artifacts.discard_paths else found


def pattern(glob: str) -> re.Pattern[str]:
    """Return what a glob of a buildspec means: ``*`` stays in a folder, ``**`` does not."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", re.sub(r"^(\./)+", "", glob))
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(each, re.escape(each)) for each in parts), re.DOTALL)


def _base(root: Path, given: str) -> Path:
    """Return the base directory; it may be a glob, and never lies outside the build's source."""
    if given in (".", "./", ""):
        return root
    wanted = pattern(given.rstrip("/"))
    folders = (each for each in sorted(root.rglob("*")) if each.is_dir())
    for each in folders:
        if wanted.fullmatch(each.relative_to(root).as_posix()):
            return each
    raise Failure(f"no matching base directory path found for {given}")


def _files(base: Path) -> Iterator[tuple[str, Path]]:
    for each in base.rglob("*"):
        if each.is_symlink() or each.is_file():
            yield each.relative_to(base).as_posix(), each


def _flat(found: Mapping[str, Path]) -> dict[str, Path]:
    flat: dict[str, Path] = {}
    for name, place in found.items():
        short = name.rpartition("/")[2]
        if short in flat:
            raise Failure(f"discard-paths: two files are named {short}")
        flat[short] = place
    return flat


def key(target: Mapping[str, Any], build: str) -> str:
    """Return the object's key: path, build id when asked for, and name."""
    parts = [
        target.get("path", ""),
        build if target.get("namespaceType") == "BUILD_ID" else "",
        target["name"],
    ]
    return "/".join(part.strip("/") for part in parts if part.strip("/"))


def upload(
    cloud: Cloud,
    credentials: Credentials,
    target: Mapping[str, Any],
    build: str,
    files: Mapping[str, Path],
    artifacts: Artifacts,
    scratch: Path,
) -> dict[str, str]:
    """Put the files where *target* says, and return what BatchGetBuilds tells of them."""
    place = key(target, build)
    arn = f"arn:aws:s3:::{target['location']}/{place}"
    client = cloud.client("s3", credentials)
    try:
        if target.get("packaging", "NONE") == "ZIP":
            archive = scratch / "artifact.zip"
            pack(archive, files, keep_links=artifacts.enable_symlinks)
            _put(client, target["location"], place, archive)
            return {"location": arn, **checksums(archive)}
        for name, file in files.items():
            if file.is_file():
                _put(client, target["location"], f"{place}/{name}", file)
    except (ClientError, BotoCoreError, OSError) as error:
        raise Failure(f"Error in UPLOAD_ARTIFACTS phase: {error}") from error
    finally:
        client.close()
    return {"location": arn}


def _put(client: Any, bucket: str, place: str, file: Path) -> None:
    with file.open("rb") as body:
        client.put_object(Bucket=bucket, Key=place, Body=body)


def pack(archive: Path, files: Mapping[str, Path], *, keep_links: bool = False) -> None:
    """Zip files with their modes; symbolic links become what they lead to, unless they are kept.

    Names are sorted and times left out, so that the same files make the same zip.
    """
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in sorted(files):
            file = files[name]
            if file.is_symlink() and keep_links:
                entry = zipfile.ZipInfo(name)
                entry.external_attr = (stat.S_IFLNK | 0o777) << 16
                opened.writestr(entry, str(file.readlink()))
            elif file.is_file():
                _add(opened, name, file)
            elif file.is_dir():
                for below, each in sorted(_files(file)):
                    if each.is_file():
                        _add(opened, f"{name}/{below}", each)


def _add(opened: zipfile.ZipFile, name: str, file: Path) -> None:
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (stat.S_IFREG | (0o755 if file.stat().st_mode & 0o100 else 0o644)) << 16
    with file.open("rb") as source, opened.open(entry, "w", force_zip64=True) as sink:
        while chunk := source.read(1 << 20):
            sink.write(chunk)


def checksums(file: Path) -> dict[str, str]:
    """Return the digests of a file."""
    digests = {"sha256sum": hashlib.sha256(), "md5sum": hashlib.md5(usedforsecurity=False)}
    with file.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            for digest in digests.values():
                digest.update(chunk)
    return {name: digest.hexdigest() for name, digest in digests.items()}
