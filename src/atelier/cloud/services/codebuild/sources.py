"""Where a build's files come from: zips in S3, CodeCommit repositories, or nowhere."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import zipfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from atelier.cloud.context import Caller, Cloud, Credentials
from atelier.cloud.services.codebuild.failures import Failure
from atelier.cloud.services.codecommit import repositories

ZIPPED = {"S3", "CODEPIPELINE"}


def fetch(
    cloud: Cloud,
    role: str,
    credentials: Credentials,
    source: Mapping[str, Any],
    version: str | None,
    place: Path,
) -> str | None:
    """Put the source into the folder *place* and return the version that it turned out to be."""
    place.mkdir(mode=0o700, exist_ok=True)
    if source["type"] in ZIPPED:
        return _fetch_zip(cloud, credentials, source, version, place)
    if source["type"] == "CODECOMMIT":
        return _clone(cloud, role, source, version, place)
    return None


def _fetch_zip(
    cloud: Cloud, credentials: Credentials, source: Mapping[str, Any], version: str | None, place: Path
) -> str | None:
    bucket, key = split_location(source["location"])
    # CodePipeline's version is a commit, S3's the object's
    chosen = {"VersionId": version} if version and source["type"] == "S3" else {}
    archive = place.with_name(f"{place.name}.zip")
    client = cloud.client("s3", credentials)
    try:
        answer = client.get_object(Bucket=bucket, Key=key, **chosen)
        with closing(answer["Body"]) as body, archive.open("wb") as file:
            shutil.copyfileobj(body, file)
        unzip(archive, place)
    except (ClientError, BotoCoreError) as error:
        raise Failure(f"{error} for s3://{bucket}/{key}") from error
    finally:
        client.close()
        archive.unlink(missing_ok=True)
    return version or answer.get("VersionId") or str(answer["ETag"]).strip('"')


def split_location(location: str) -> tuple[str, str]:
    """Return bucket and key of ``bucket/key`` or of the object's ARN."""
    bucket, _, key = re.sub(r"^arn:[\w-]+:s3:::", "", location).partition("/")
    if not bucket or not key:
        raise Failure(f"{location!r} names no object: write bucket/key")
    return bucket, key


def unzip(archive: Path, place: Path) -> None:
    """Unpack a zip with its modes and symbolic links, none of them leading out of *place*."""
    try:
        with zipfile.ZipFile(archive) as opened:
            links = [each for each in opened.infolist() if stat.S_ISLNK(each.external_attr >> 16)]
            names = {each.filename for each in links}
            for entry in opened.infolist():
                if entry.filename not in names:
                    _extract(opened, entry, place)
            for entry in links:  # last, so that nothing is written through one
                _link(place, entry.filename, opened.read(entry).decode())
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise Failure(f"the source is no zip that can be read: {error}") from error


def _extract(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Path) -> None:
    written = Path(opened.extract(entry, place))  # takes out drive letters, leading slashes and `..`
    if mode := (entry.external_attr >> 16) & 0o777:
        written.chmod(mode | 0o600 | (0o100 if written.is_dir() else 0))


def _link(place: Path, name: str, target: str) -> None:
    link = place / name
    inside = place.resolve()
    leads_to = (link.parent / target).resolve()
    is_clean = ".." not in Path(name).parts and not Path(name).is_absolute()
    if not (is_clean and link.parent.resolve().is_relative_to(inside) and leads_to.is_relative_to(inside)):
        raise Failure(f"the symbolic link {name} -> {target} leads out of the source")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _clone(cloud: Cloud, role: str, source: Mapping[str, Any], version: str | None, place: Path) -> str:
    name = str(source["location"]).rstrip("/").rpartition("/")[2].removesuffix(".git")
    session = Caller(f"{role.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/codebuild", role)
    resource = cloud.arn("codecommit", name)
    if not cloud.identity.allows(session, "codecommit:GitPull", resource):
        raise Failure(f"{role} is not authorized to perform: codecommit:GitPull on resource: {resource}")
    origin = repositories.path(cloud, name)
    if not origin.is_dir():
        raise Failure(f"repository {name} does not exist")
    depth = source.get("gitCloneDepth") or 0
    _git(place.parent, "clone", "--quiet", *_shallow(depth, version), "--", f"file://{origin}", str(place))
    if version:
        _git(place, "checkout", "--quiet", "--detach", _revision(place, version))
    return _git(place, "rev-parse", "HEAD")


def _shallow(depth: int, version: str | None) -> list[str]:
    """Clone all of the history when a version is asked for: it may be any commit of it."""
    return ["--depth", str(depth)] if depth and not version else []


def _revision(place: Path, version: str) -> str:
    for candidate in (f"refs/remotes/origin/{version.removeprefix('refs/heads/')}", version):
        try:
            return _git(
                place, "rev-parse", "--quiet", "--verify", "--end-of-options", f"{candidate}^{{commit}}"
            )
        except Failure:
            continue
    raise Failure(f"{version} is no branch, tag or commit of the repository")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(done.stderr.strip() or f"git {arguments[0]} failed")
    return done.stdout.strip()
