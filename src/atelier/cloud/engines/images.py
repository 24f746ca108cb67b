"""Images by content: blobs, manifests, and the names that point at them.

An image is what Docker would push: a manifest and a configuration in Docker's own JSON, layers by SHA-256.
A `COPY` is a layer of files; an install of locked dependencies is a layer that holds the lock itself, from
which `layers` makes the environment in the shared cache. So an image stays small, its digest depends on its
inputs only, and it can be made whole again on a machine whose cache is empty.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
FILES = "application/vnd.docker.image.rootfs.diff.tar"
DEPENDENCIES = "application/vnd.atelier.dependencies.v1+json"

ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}


class ImageError(Exception):
    """An image that is not there, or that this engine cannot run; the text says which and what to do."""


@dataclass(frozen=True)
class Layer:
    """One layer's place in a manifest."""

    media_type: str
    digest: str
    size: int

    def descriptor(self) -> dict[str, Any]:
        """Return the layer as a manifest lists it."""
        return {"mediaType": self.media_type, "size": self.size, "digest": self.digest}


@dataclass(frozen=True)
class Image:
    """A manifest's bytes and what they point at."""

    manifest: bytes
    configuration: bytes

    @cached_property
    def digest(self) -> str:
        """The image's name by content."""
        return digest_of(self.manifest)

    @cached_property
    def id(self) -> str:
        """What `docker inspect` calls its Id."""
        return digest_of(self.configuration)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration: what runs, where, with which variables."""
        document: dict[str, Any] = json.loads(self.configuration)
        return document

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, lowest first."""
        listed = json.loads(self.manifest)["layers"]
        return tuple(Layer(each["mediaType"], each["digest"], each["size"]) for each in listed)

    @property
    def python(self) -> str:
        """The Python that the base image named (``3.11``)."""
        made_by = self.config.get("atelier")
        if not made_by:
            raise ImageError(
                f"image {self.digest} was not built by the process engine: it needs Docker to run"
            )
        return str(made_by["python"])


def assemble(config: dict[str, Any], layers: Sequence[Layer]) -> Image:
    """Return the image of a configuration and layers; equal inputs give equal bytes."""
    configuration = encode(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "size": len(configuration), "digest": digest_of(configuration)},
        "layers": [each.descriptor() for each in layers],
    }
    return Image(encode(manifest), configuration)


def architecture() -> str:
    """Return this machine's architecture by Docker's name."""
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def encode(document: Any) -> bytes:
    """Return the one JSON text of a document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def digest_of(body: bytes) -> str:
    """Return the content's digest as registries write it."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def write_aside(path: Path, body: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as aside:
        aside.write(body)
    Path(aside.name).replace(path)


class Names:
    """Names (repository, tag) that point at digests; one file each, so writers don't meet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, repository: str, tag: str, digest: str) -> None:
        """Let the name point at the digest."""
        write_aside(self._path(repository, tag), digest.encode())

    def get(self, repository: str, tag: str) -> str | None:
        """Return what the name points at."""
        try:
            return self._path(repository, tag).read_text()
        except FileNotFoundError:
            return None

    def delete(self, repository: str, tag: str) -> None:
        """Forget the name."""
        self._path(repository, tag).unlink(missing_ok=True)

    def all(self) -> Iterator[tuple[str, str, str]]:
        """Return every (repository, tag, digest), in order."""
        for path in sorted(self._folder.glob("*/[!.]*")):
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                yield unquote(path.parent.name), unquote(path.name), path.read_text()

    def clear(self) -> None:
        """Forget all names."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, repository: str, tag: str) -> Path:
        return self._folder / quote(repository, safe="") / quote(tag, safe="")


@dataclass(frozen=True)
class Reference:
    """An image's name: ``repository:tag`` or ``repository@digest``."""

    repository: str
    tag: str
    by_digest: bool = False

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a name as Docker does: a tag that is not given is ``latest``."""
        repository, at, digest = text.partition("@")
        if at:
            return cls(_without_tag(repository), digest, by_digest=True)
        bare = _without_tag(text)
        return cls(bare, text[len(bare) + 1 :] or "latest")

    def __str__(self) -> str:
        """Return the name as it is written."""
        return f"{self.repository}{'@' if self.by_digest else ':'}{self.tag}"


def _without_tag(name: str) -> str:
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


class ImageStore:
    """What one cloud knows of images, under ``<home>/images``, readable by its owner only.

    `local` holds the names that builds gave (as a Docker daemon does), `registry` those that were pushed and
    that ECR still has: containers start from these only.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "images"
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        (self.folder / "blobs").mkdir(exist_ok=True, mode=0o700)
        self.local = Names(self.folder / "local")
        self.registry = Names(self.folder / "registry")
        self.environments = Names(self.folder / "environments")

    def put(self, body: bytes) -> str:
        """Keep a blob and return its digest."""
        digest = digest_of(body)
        if not self.blob(digest).exists():
            write_aside(self.blob(digest), body)
        return digest

    def adopt(self, path: Path, digest: str) -> None:
        """Keep a finished file on the same disk as the blob *digest*; the caller has verified it."""
        target = self.blob(digest)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.replace(target)

    def blob(self, digest: str) -> Path:
        """Return where the blob is, or would be."""
        return self.folder / "blobs" / digest.replace(":", "/")

    def save(self, image: Image) -> None:
        """Keep an image's manifest and configuration."""
        self.put(image.configuration)
        self.put(image.manifest)
        self.local.put("", image.id, image.digest)

    def load(self, digest: str) -> Image:
        """Return the image of a digest; raise ImageError when a part of it is missing."""
        try:
            manifest = self.blob(digest).read_bytes()
            configuration = self.blob(json.loads(manifest)["config"]["digest"]).read_bytes()
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            raise ImageError(f"image {digest} is not there, or not whole") from error
        return Image(manifest, configuration)

    def find(self, text: str) -> Image:
        """Return a locally known image by name or Id, as the `docker` command does."""
        name = Reference.parse(text)
        is_id = text.startswith("sha256:")
        digest = self.local.get("", text) if is_id else self.local.get(name.repository, name.tag)
        if digest is None:
            raise ImageError(f"No such image: {text}")
        return self.load(digest)

    def pushed(self, text: str) -> Image:
        """Return an image that ECR has, by the URI that ECR returned."""
        name = Reference.parse(text)
        digest = self.registry.get(name.repository, name.tag)
        if digest is None:
            raise ImageError(f"image {text} is not in ECR: push it, or name one that describe-images lists")
        return self.load(digest)

    def locks(self, image: Image) -> list[str]:
        """Return the lock files of the image's dependency layers, lowest first."""
        return [
            json.loads(self.blob(layer.digest).read_bytes())["lock"]
            for layer in image.layers
            if layer.media_type == DEPENDENCIES
        ]

    def unpack(self, image: Image) -> Path:
        """Return the folder that holds the image's files, made once per image."""
        target = self.folder / "rootfs" / image.digest.partition(":")[2]
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".", ignore_cleanup_errors=True) as folder:
            aside = Path(folder) / "rootfs"
            aside.mkdir()
            for layer in image.layers:
                self._extract(layer, aside)
            working_dir = str(image.config["config"]["WorkingDir"]).lstrip("/")
            (aside / working_dir).mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # another container of this image was faster
                aside.rename(target)
        return target

    def _extract(self, layer: Layer, folder: Path) -> None:
        if layer.media_type == DEPENDENCIES:
            return
        if layer.media_type != FILES:
            raise ImageError(f"a layer of type {layer.media_type} needs Docker to run")
        try:
            with tarfile.open(self.blob(layer.digest)) as archive:
                archive.extractall(folder, filter="data")
        except (OSError, tarfile.TarError) as error:
            raise ImageError(f"layer {layer.digest} cannot be unpacked: {error}") from error
