"""The image of endpoints for a cloud on Docker, without the minutes that pip and compression take.

Docker builds the Dockerfile as it stands, on a base image that brings the packages of its lock, so that pip
finds them installed. The process engine installed them once for all tests; they go through the registry as a
layer that is not compressed. Docker itself would compress a gigabyte in a push.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import httpx
from engine_door import check, docker_api

from atelier.client.session import Clients
from atelier.cloud.engines import images

IMAGES = Path(__file__).parents[1] / "images"
sys.path.append(str(IMAGES))

import containers  # noqa: E402

NAME, BASE = "endpoints", "python:3.11-slim-bookworm"
PACKAGES = "site-packages"
UNUSED = ("tests", "torch/test", "torch/include", "torch/bin/protoc*", "torch/bin/test_*")
PIECE = 1 << 20


def repository(clients: Clients) -> str:
    """Make the image's repository; return its URI."""
    return clients.ecr.create_repository(repositoryName=NAME)["repository"]["repositoryUri"]


def push(clients: Clients, home: Path, uri: str) -> str:
    """Build the image, and push it; return its URI with its digest."""
    token = clients.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    login = {"username": user, "password": password}
    built = containers.built(home / "locks", "diffusion")
    with docker_api() as api:
        host = f"http://{uri.partition('/')[0]}"
        with httpx.Client(base_url=host, auth=(user, password), timeout=300, trust_env=False) as http:
            Registry(http).put(api, Path(built.command[0]).parents[1])
        check(api.pull(uri, "base", auth_config=login, stream=True, decode=True))
        arguments = {"BASE_IMAGE": f"{uri}:base", "LOCK": containers.chosen_lock("diffusion")}
        folder = str(containers.TRAINING / "diffusion")
        check(
            api.build(
                path=folder,
                tag=f"{uri}:latest",
                buildargs=arguments,
                rm=True,
                decode=True,
                network_mode="host",
            )
        )
        check(api.push(uri, "latest", auth_config=login, stream=True, decode=True))
    found = clients.ecr.describe_images(repositoryName=NAME, imageIds=[{"imageTag": "latest"}])
    return f"{uri}@{found['imageDetails'][0]['imageDigest']}"


def forget(uri: str) -> None:
    """Remove a repository's images from the engine: they are large, and nothing else is made of them."""
    with docker_api() as api:
        for each in dict.fromkeys(api.images(name=uri, quiet=True)):  # what was made last is listed first
            api.remove_image(each, force=True)


class Registry:
    """Takes a base image with packages in it, layer by layer."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def put(self, api: Any, environment: Path) -> None:
        """Put the engine's base image, and an environment's packages on it, under the tag `base`."""
        with tempfile.TemporaryFile() as file:
            file.writelines(api.get_image(BASE))
            file.seek(0)
            with tarfile.open(fileobj=file) as saved:
                (made,) = json.load(member(saved, "manifest.json"))
                config = json.load(member(saved, made["Config"]))
                layers = [self._layer(pieces(member(saved, each))) for each in made["Layers"]]
        folder = environment / "lib" / "python3.11"
        # Made with another Python than the image's, they would be of no use: then pip installs them, slowly.
        if folder.exists():
            layers.append(self._layer(packed(folder)))
        config["rootfs"]["diff_ids"] = [each.digest for each in layers]
        config["history"] = [{"created_by": "tests"} for _ in layers]
        config["config"]["Env"].append(f"PYTHONPATH=/{PACKAGES}")
        image = images.assemble(config, layers)
        self._layer([image.configuration])
        kind = {"Content-Type": images.MANIFEST}
        place = f"/v2/{NAME}/manifests/base"
        self._http.put(place, content=image.manifest, headers=kind).raise_for_status()

    def _layer(self, body: Iterable[bytes]) -> images.Layer:
        """Upload what comes, as it comes."""
        known, size = hashlib.sha256(), 0

        def seen() -> Iterator[bytes]:
            nonlocal size
            for piece in body:
                known.update(piece)
                size += len(piece)
                yield piece

        opened = self._http.post(f"/v2/{NAME}/blobs/uploads/").raise_for_status()
        kind = {"Content-Type": "application/octet-stream"}
        sent = self._http.patch(opened.headers["location"], content=seen(), headers=kind).raise_for_status()
        place, digest = sent.headers["location"], f"sha256:{known.hexdigest()}"
        query = {**dict(httpx.URL(place).params), "digest": digest}
        self._http.put(place, params=query).raise_for_status()
        return images.Layer(images.FILES, digest, size)


def member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """Open a file of an archive."""
    file = archive.extractfile(name)
    assert file is not None
    return file


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """Read a file to its end."""
    while piece := file.read(PIECE):
        yield piece


def packed(folder: Path) -> Iterator[bytes]:
    """Pack an environment's packages for any user to read, without what only developers of torch need."""
    command = ["tar", f"--directory={folder}", "--create", "--owner=0", "--group=0", "--mode=a+rX"]
    command += [f"--exclude={each}" for each in UNUSED]
    with subprocess.Popen([*command, PACKAGES], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield from pieces(process.stdout)
    assert 0 == process.returncode
