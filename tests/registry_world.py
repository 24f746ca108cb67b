"""ECR before a real registry, without Docker: what a client of the registry's protocol sees."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx
from fakes import FakeEngine, FakeIdentity, fake_cloud

from atelier.cloud.engines.sockets import SocketConnection
from atelier.cloud.services.ecr import live
from atelier.cloud.services.ecr.plugin import PLUGIN

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = b'{"architecture": "amd64"}'
BYTES = {"Content-Type": "application/octet-stream"}


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def manifest(*bodies: bytes) -> bytes:
    """The manifest of an image: its configuration first, then its layers."""
    config, *layers = [{"mediaType": "t", "size": len(each), "digest": digest(each)} for each in bodies]
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
    return json.dumps(document).encode()


class RegistryWorld:
    """A cloud with ECR and a registry of its own; `http` is a client that is logged in."""

    def __init__(self, home: Path, identity: FakeIdentity | None = None) -> None:
        self.identity = identity or FakeIdentity()
        self.cloud = fake_cloud(home, engine=FakeEngine(name="docker"), identity=self.identity)
        PLUGIN.service.start(self.cloud)
        self.distribution = live.storage(self.cloud).distribution
        self.host = live.storage(self.cloud).host
        self.http = self.client(self.password())

    def close(self) -> None:
        self.http.close()
        PLUGIN.service.stop(self.cloud)
        self.cloud.store.close()

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Call ECR as an SDK does."""
        return PLUGIN.service.call(self.cloud, operation, request)

    def repository(self, name: str, mutability: str = "MUTABLE") -> str:
        return self.call("CreateRepository", repositoryName=name, imageTagMutability=mutability)[
            "repository"
        ]["repositoryUri"]

    def password(self) -> str:
        (given,) = self.call("GetAuthorizationToken")["authorizationData"]
        return base64.b64decode(given["authorizationToken"]).decode().partition(":")[2]

    def client(self, password: str, user: str = "AWS") -> httpx.Client:
        return httpx.Client(base_url=f"http://{self.host}", auth=(user, password), timeout=30)

    def upload(self, name: str, body: bytes | Iterator[bytes], claimed: str = "") -> httpx.Response:
        """Upload a layer as Docker does: open, send in one stream, close with the digest."""
        opened = self.http.post(f"/v2/{name}/blobs/uploads/")
        if opened.status_code != 202:
            return opened
        sent = self.http.patch(opened.headers["location"], content=body, headers=BYTES)
        if sent.status_code != 202:
            return sent
        return self.http.put(sent.headers["location"], params=self._query(sent, claimed or digest(body)))

    def _query(self, sent: httpx.Response, of: str) -> dict[str, str]:
        return {**dict(httpx.URL(sent.headers["location"]).params), "digest": of}

    def put(self, name: str, reference: str, body: bytes, kind: str = MANIFEST) -> httpx.Response:
        return self.http.put(
            f"/v2/{name}/manifests/{reference}", content=body, headers={"Content-Type": kind}
        )

    def push(self, name: str, tag: str, text: str) -> str:
        """Push an image with one layer of *text*; return its digest."""
        for each in (CONFIG, text.encode()):
            assert 201 == self.upload(name, each).status_code
        answer = self.put(name, tag, manifest(CONFIG, text.encode()))
        assert 201 == answer.status_code, answer.text
        return answer.headers["docker-content-digest"]

    def images(self, name: str) -> dict[str, list[str]]:
        """What ECR lists: tags by digest."""
        found = self.call("DescribeImages", repositoryName=name)["imageDetails"]
        return {each["imageDigest"]: each.get("imageTags", []) for each in found}

    def stored(self, path: str, headers: Mapping[str, str] | None = None) -> int:
        """Ask the registry behind the front itself; return its status."""
        connection = SocketConnection(self.distribution.socket, 10)
        try:
            connection.request("GET", path, headers={"Accept": f"{MANIFEST}, {INDEX}", **(headers or {})})
            answer: HTTPResponse = connection.getresponse()
            return answer.status
        finally:
            connection.close()

    def stored_manifests(self) -> set[str]:
        """The digests of all manifests that the registry keeps on its disk."""
        revisions = self.cloud.home.glob("registry/data/**/_manifests/revisions/sha256/*")
        return {f"sha256:{each.name}" for each in revisions}


def until(look: Callable[[], Any], patience: float = 60) -> Any:
    """Look again and again until there is something to see."""
    deadline = time.monotonic() + patience
    while not (seen := look()):
        assert time.monotonic() < deadline
        time.sleep(0.03)
    return seen
