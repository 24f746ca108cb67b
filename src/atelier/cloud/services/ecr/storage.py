"""Where a repository's layers and manifests are: in files that the process engine reads, or in a registry.

Tags are no matter of storage: the records of ECR's images have them, and only what is recorded is there.
"""

from __future__ import annotations

import contextlib
import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from atelier.cloud.context import Cloud
from atelier.cloud.engines.distribution import Distribution, Unavailable
from atelier.cloud.engines.images import ImageStore
from atelier.cloud.engines.sockets import SocketConnection
from atelier.cloud.services.ecr.entrance import DIGEST
from atelier.cloud.services.wire import ServiceError
from atelier.cloud.store import Table

ANSWER = 300.0
PATIENCE = 5.0
"""Seconds in which a registry that is being started again is waited for."""
MANIFEST_BYTES = 4 * 1024 * 1024


class Storage(Protocol):
    """What ECR needs of the place that keeps images."""

    @property
    def host(self) -> str:
        """Return the registry's name, as RepositoryUri begins."""
        ...

    @property
    def scheme(self) -> str:
        """Return the scheme of the registry's own URL."""
        ...

    def layer(self, repository: str, digest: str) -> int | None:
        """Return a layer's size, or None when the repository has no such layer."""
        ...

    def add_layer(self, repository: str, file: Path, digest: str) -> None:
        """Take a finished file, whose digest was verified, as a layer; the file is gone afterwards."""
        ...

    def put(self, repository: str, manifest: bytes, media_type: str, digest: str) -> None:
        """Keep a manifest."""
        ...

    def manifest(self, repository: str, digest: str) -> bytes:
        """Return a manifest that was kept."""
        ...

    def name(self, uri: str, tag: str, digest: str) -> None:
        """Let the engine find a digest under a repository's tag."""
        ...

    def unname(self, uri: str, tag: str) -> None:
        """Take back what `name` did."""
        ...

    def forget(self, repository: str, digest: str) -> None:
        """Delete a manifest."""
        ...

    def drop(self, repository: str) -> None:
        """Delete all that a repository has."""
        ...


@dataclass(frozen=True)
class FileStorage:
    """Images as the process engine starts them: blobs and names in files."""

    cloud: Cloud
    scheme: str = "https"

    @property
    def host(self) -> str:
        """Return the name that the registry has on AWS."""
        return f"{self.cloud.account}.dkr.ecr.{self.cloud.region}.amazonaws.com"

    @property
    def _files(self) -> ImageStore:
        return ImageStore(self.cloud.home)

    @property
    def _layers(self) -> Table:
        return self.cloud.store.table("ecr.layers")

    def layer(self, repository: str, digest: str) -> int | None:
        """Return what is recorded: blobs are shared by all repositories, layers are not."""
        record = self._layers.get(f"{repository}@{digest}")
        return None if record is None else int(record["size"])

    def add_layer(self, repository: str, file: Path, digest: str) -> None:
        """Move the file to the blobs."""
        size = file.stat().st_size
        self._files.adopt(file, digest)
        self._layers.put(f"{repository}@{digest}", {"size": size})

    def put(self, repository: str, manifest: bytes, media_type: str, digest: str) -> None:
        """Keep the manifest as a blob."""
        self._files.put(manifest)

    def manifest(self, repository: str, digest: str) -> bytes:
        """Read the blob."""
        return self._files.blob(digest).read_bytes()

    def name(self, uri: str, tag: str, digest: str) -> None:
        """Write the name that the engine looks up."""
        self._files.registry.put(uri, tag, digest)

    def unname(self, uri: str, tag: str) -> None:
        """Delete the name."""
        self._files.registry.delete(uri, tag)

    def forget(self, repository: str, digest: str) -> None:
        """Leave the blob: another repository, or a local image, may have it too."""

    def drop(self, repository: str) -> None:
        """Forget the repository's layers."""
        for key in [key for key, _ in self._layers.items() if key.rpartition("@")[0] == repository]:
            self._layers.delete(key)


@dataclass(frozen=True)
class RegistryStorage:
    """Images in a real registry, which Docker pushes to and pulls from through ECR's front."""

    distribution: Distribution
    host: str
    scheme: str = "http"

    def layer(self, repository: str, digest: str) -> int | None:
        """Ask the registry; what is no digest it does not have."""
        if not re.fullmatch(DIGEST, digest):
            return None
        with self._asked("HEAD", f"/v2/{repository}/blobs/{digest}", (200, 404)) as answer:
            return int(answer.headers["Content-Length"]) if answer.status == 200 else None

    def add_layer(self, repository: str, file: Path, digest: str) -> None:
        """Upload the file in one piece."""
        with self._asked("POST", f"/v2/{repository}/blobs/uploads/", (202,)) as answer:
            target = answer.headers["Location"]
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
        whole = f"{target}{'&' if '?' in target else '?'}digest={digest}"
        with file.open("rb") as body, self._asked("PUT", whole, (201,), body, headers):
            pass
        file.unlink()

    def put(self, repository: str, manifest: bytes, media_type: str, digest: str) -> None:
        """Put the manifest under its digest."""
        target, headers = f"/v2/{repository}/manifests/{digest}", {"Content-Type": media_type}
        with self._asked("PUT", target, (201,), manifest, headers):
            pass

    def manifest(self, repository: str, digest: str) -> bytes:
        """Get the manifest by its digest, in whichever form it was put."""
        headers = {"Accept": ", ".join(ACCEPTED)}
        target = f"/v2/{repository}/manifests/{digest}"
        with self._asked("GET", target, (200,), None, headers) as answer:
            return answer.read(MANIFEST_BYTES)

    def name(self, uri: str, tag: str, digest: str) -> None:
        """Do nothing: the front resolves tags by ECR's records."""

    def unname(self, uri: str, tag: str) -> None:
        """Do nothing: the front resolves tags by ECR's records."""

    def forget(self, repository: str, digest: str) -> None:
        """Delete the manifest in the registry."""
        self.distribution.forget(repository, digest)

    def drop(self, repository: str) -> None:
        """Delete the repository in the registry."""
        self.distribution.drop(repository)

    @contextlib.contextmanager
    def _asked(
        self, method: str, target: str, expected: tuple[int, ...], body: Any = None, headers: Any = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Yield the registry's answer; what is not *expected* is an error of the service."""
        connection = SocketConnection(self.distribution.socket, ANSWER)
        try:
            self.distribution.wait(PATIENCE)
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            if answer.status not in expected:
                raise self._failure(answer.status, answer.read(4096))
            yield answer
        except (OSError, http.client.HTTPException, Unavailable) as error:
            raise self.unavailable(error) from error
        finally:
            connection.close()

    def _failure(self, status: int, said: bytes) -> ServiceError:
        if status < 500:
            text = said.decode(errors="replace")
            return ServiceError("InvalidParameterException", f"the registry refuses: {status} {text}")
        return self.unavailable(said.decode(errors="replace"))

    def unavailable(self, why: object) -> ServiceError:
        """Return the error for a registry that fails: a full disk is named."""
        if self.distribution.free() < ROOM:
            return ServiceError(FULL, NO_ROOM)
        return ServiceError(
            "ServerException", f"the image registry does not answer: try again ({why})", status=500
        )


ACCEPTED = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)

ROOM = 1024 * 1024
"""Bytes without which a registry cannot even keep a manifest."""

FULL = "LimitExceededException"
NO_ROOM = "no space left on device where the local cloud keeps images: free some, and push again"
