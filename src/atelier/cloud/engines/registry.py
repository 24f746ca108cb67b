"""Pushes and pulls images through ECR's API.

On AWS, `docker push` speaks the registry's own protocol with the token of GetAuthorizationToken. Here the
same upload goes through the API operations that ECR offers for it, signed with the credentials of the build,
so IAM, immutable tags and the check of digests are those of the service. A valid login is required as well,
so that a buildspec which forgets it fails here and not on AWS first.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from atelier.cloud.engines.images import Image, ImageError, ImageStore, Reference, write_aside
from atelier.cloud.engines.layers import Log

PART = 10 * 1024 * 1024

REMEMBERED = 7 * 24 * 3600
"""Seconds for which a password that is over is told from one that never was."""


class Tokens:
    """The passwords that GetAuthorizationToken gave out, known by their hash."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "images" / "tokens"

    def issue(self, password: str, registry: str, expires: float, holder: Mapping[str, Any]) -> None:
        """Remember a password and who holds it, and forget those that were over a while ago."""
        record = json.dumps({"registry": registry, "expires": expires, "holder": holder})
        write_aside(self._path(password), record.encode())
        for path in self._folder.glob("[!.]*"):
            with contextlib.suppress(FileNotFoundError):  # another call was faster
                if json.loads(path.read_text())["expires"] < time.time() - REMEMBERED:
                    path.unlink(missing_ok=True)

    def known(self, password: str, registry: str) -> dict[str, Any] | None:
        """Return what is remembered of the registry's password, one that is over included."""
        try:
            record: dict[str, Any] = json.loads(self._path(password).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return record if record["registry"] == registry else None

    def accepts(self, password: str, registry: str) -> bool:
        """Say whether the password opens the registry now."""
        record = self.known(password, registry)
        return record is not None and bool(record["expires"] > time.time())

    def _path(self, password: str) -> Path:
        return self._folder / hashlib.sha256(password.encode()).hexdigest()


class Logins:
    """Docker's own file of logins, ``$DOCKER_CONFIG/config.json``."""

    def __init__(self, tokens: Tokens) -> None:
        folder = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
        self._file, self._tokens = Path(folder) / "config.json", tokens

    def add(self, registry: str, username: str, password: str) -> None:
        """Keep a login after its password was checked."""
        if username != "AWS" or not self._tokens.accepts(password, registry):
            raise ImageError(
                f"login attempt to https://{registry}/v2/ failed: 401 Unauthorized: take the password from"
                " `aws ecr get-login-password` and the registry from the repository's URI"
            )
        document = self._read()
        auth = base64.b64encode(f"{username}:{password}".encode()).decode()
        document.setdefault("auths", {})[registry] = {"auth": auth}
        write_aside(self._file, json.dumps(document, indent=2).encode())

    def remove(self, registry: str) -> None:
        """Forget a login."""
        document = self._read()
        document.get("auths", {}).pop(registry, None)
        write_aside(self._file, json.dumps(document, indent=2).encode())

    def check(self, registry: str) -> None:
        """Raise ImageError unless there is a login that is still good."""
        entry = self._read().get("auths", {}).get(registry)
        if entry is None:
            raise ImageError(f"no basic auth credentials: `docker login` to {registry} first")
        password = base64.b64decode(entry["auth"]).decode().partition(":")[2]
        if not self._tokens.accepts(password, registry):
            raise ImageError(f"your authorization token for {registry} has expired: `docker login` again")

    def _read(self) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ImageError(f"{self._file} is not JSON: remove it and `docker login` again") from error
        return document


def repository_of(uri: str) -> tuple[str, str]:
    """Return the registry's host and the repository's name of a RepositoryUri."""
    host, slash, name = uri.partition("/")
    if not slash or "." not in host:
        raise ImageError(f"{uri} names no registry: tag the image with the RepositoryUri that ECR returned")
    return host, name


def push(ecr: Any, store: ImageStore, image: Image, name: Reference, log: Log) -> str:
    """Upload what ECR lacks of an image, put it under the name's tag, and return its digest."""
    registry, repository = repository_of(name.repository)
    log(f"The push refers to repository [{name.repository}]")
    known = {"registryId": registry.partition(".")[0], "repositoryName": repository}
    digests = [json.loads(image.manifest)["config"]["digest"], *(each.digest for each in image.layers)]
    checked = ecr.batch_check_layer_availability(**known, layerDigests=sorted(set(digests)))
    there = {each["layerDigest"] for each in checked["layers"] if each["layerAvailability"] == "AVAILABLE"}
    for digest in dict.fromkeys(digests):
        short = digest.partition(":")[2][:12]
        if digest not in there:
            _upload(ecr, known, store.blob(digest), digest)
        log(f"{short}: {'Layer already exists' if digest in there else 'Pushed'}")
    with contextlib.suppress(ecr.exceptions.ImageAlreadyExistsException):
        ecr.put_image(
            **known,
            imageManifest=image.manifest.decode(),
            imageManifestMediaType=json.loads(image.manifest)["mediaType"],
            imageTag=name.tag,
            imageDigest=image.digest,
        )
    store.local.put(name.repository, image.digest, image.digest)
    log(f"{name.tag}: digest: {image.digest} size: {len(image.manifest)}")
    return image.digest


def _upload(ecr: Any, known: dict[str, str], blob: Path, digest: str) -> None:
    upload = ecr.initiate_layer_upload(**known)["uploadId"]
    first = 0
    for part in _parts(blob):
        last = first + len(part) - 1
        ecr.upload_layer_part(
            **known, uploadId=upload, partFirstByte=first, partLastByte=last, layerPartBlob=part
        )
        first = last + 1
    with contextlib.suppress(ecr.exceptions.LayerAlreadyExistsException):  # another push was faster
        ecr.complete_layer_upload(**known, uploadId=upload, layerDigests=[digest])


def _parts(blob: Path) -> Iterator[bytes]:
    with blob.open("rb") as file:
        while part := file.read(PART):
            yield part


def pull(ecr: Any, store: ImageStore, name: Reference) -> Image:
    """Return the image that ECR has under a name, known locally from now on."""
    registry, repository = repository_of(name.repository)
    asked = {"imageDigest" if name.by_digest else "imageTag": name.tag}
    found = ecr.batch_get_image(
        registryId=registry.partition(".")[0], repositoryName=repository, imageIds=[asked]
    )
    if not found["images"]:
        raise ImageError(f"manifest for {name} not found: manifest unknown")
    image = store.load(found["images"][0]["imageId"]["imageDigest"])
    store.local.put(name.repository, name.tag, image.digest)
    store.local.put(name.repository, image.digest, image.digest)
    store.local.put("", image.id, image.digest)
    return image
