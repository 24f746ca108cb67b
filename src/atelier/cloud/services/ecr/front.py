"""The registry's protocol as ECR speaks it: who asks is told by a password, what they may do by IAM.

Layers are passed on to the registry behind it. Manifests go through ECR's own operations, so that tags,
immutability, records, lifecycle policies and events are one thing however an image comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from atelier.cloud.context import Cloud
from atelier.cloud.engines.distribution import Unavailable
from atelier.cloud.engines.images import digest_of
from atelier.cloud.engines.relay import Body, BrokenOff, Gone, Receive, Request, Send, passed_on, relay
from atelier.cloud.services.ecr import images
from atelier.cloud.services.ecr.answers import JSON, lifespan, read, refuse, reply
from atelier.cloud.services.ecr.entrance import Asked, Refusal, admitted, asked, authorise
from atelier.cloud.services.ecr.service import repository
from atelier.cloud.services.ecr.storage import FULL, NO_ROOM, ROOM, RegistryStorage
from atelier.cloud.services.wire import ServiceError

PATIENCE = 15.0
"""Seconds in which a registry that is being started again is waited for."""

CODES: Mapping[str, tuple[int, str]] = {
    "RepositoryNotFoundException": (404, "NAME_UNKNOWN"),
    "ImageNotFoundException": (404, "MANIFEST_UNKNOWN"),
    "ImageTagAlreadyExistsException": (400, "TAG_INVALID"),
    "LayersNotFoundException": (404, "MANIFEST_BLOB_UNKNOWN"),
    "ReferencedImagesNotFoundException": (404, "MANIFEST_BLOB_UNKNOWN"),
    "ImageDigestDoesNotMatchException": (400, "DIGEST_INVALID"),
    "InvalidParameterException": (400, "MANIFEST_INVALID"),
    FULL: (403, "DENIED"),
    "ServerException": (503, "UNAVAILABLE"),
}

logger = logging.getLogger(__name__)


class Front:
    """The ASGI application that clients of the registry speak to."""

    def __init__(self, cloud: Cloud, storage: RegistryStorage) -> None:
        self._cloud, self._storage = cloud, storage
        self._does: Mapping[str, Callable[[Any, Asked, Body, Send], Awaitable[None]]] = {
            "blobs": self._blob,
            "uploads": self._blob,
            "manifests": self._manifest,
            "tags": self._tags,
        }

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await lifespan(receive, send)
            return
        body = Body(receive)
        try:
            with contextlib.suppress(Gone):
                await self._answer(scope, body, send)
        except Exception as error:
            refusal = self._refusal(error, f"{scope['method']} {scope['path']}")
            if refusal is None:  # what was promised cannot be sent any more: the connection has to break
                raise
            await body.drain()
            await refuse(send, refusal, head=scope["method"] == "HEAD")

    def _refusal(self, error: Exception, request: str) -> Refusal | None:
        """Return how an error is told to the client, or None when half an answer is on its way."""
        if isinstance(error, Refusal):
            return error
        if isinstance(error, ServiceError):
            status, code = CODES.get(error.code, (400, "UNSUPPORTED"))
            return Refusal(status, code, str(error))
        if isinstance(error, BrokenOff):
            return None if error.answered else self._broken()
        logger.error("the image registry failed at %s", request, exc_info=error)
        return Refusal(500, "UNKNOWN", "see `atelier logs`")  # the text of an unexpected error stays there

    async def _answer(self, scope: Any, body: Body, send: Send) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        caller = await asyncio.to_thread(admitted, self._cloud, self._storage.host, headers)
        if scope["path"] in ("/v2", "/v2/"):
            await reply(send, 200, b"{}", JSON)
            return
        wanted = asked(scope["method"], scope["path"])
        await asyncio.to_thread(authorise, self._cloud, caller, wanted)
        await asyncio.to_thread(repository, self._cloud, {"repositoryName": wanted.repository})
        await self._does[wanted.kind](scope, wanted, body, send)

    async def _blob(self, scope: Any, wanted: Asked, body: Body, send: Send) -> None:
        """Pass a layer, or a step of its upload, on to the registry."""
        try:
            await asyncio.to_thread(self._storage.distribution.wait, PATIENCE)
        except Unavailable as error:
            raise Refusal(503, "UNAVAILABLE", str(error)) from error
        query = _kept(scope["query_string"].decode("latin-1"))
        target = wanted.path + (f"?{query}" if query else "")
        request = Request(scope["method"], target, passed_on(scope["headers"]))
        await relay(self._storage.distribution.socket, request, body, self._told(send))

    def _told(self, send: Send) -> Send:
        """Return a *send* that refuses where the registry failed for want of room."""

        async def tell(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 500 and self._is_full():
                raise Refusal(403, "DENIED", NO_ROOM)
            await send(message)

        return tell

    def _is_full(self) -> bool:
        return self._storage.distribution.free() < ROOM

    def _broken(self) -> Refusal:
        if self._is_full():
            return Refusal(403, "DENIED", NO_ROOM)
        return Refusal(503, "UNAVAILABLE", "the image registry broke off and is started again: try again")

    async def _manifest(self, scope: Any, wanted: Asked, body: Body, send: Send) -> None:
        if scope["method"] == "PUT":
            await self._put(scope, wanted, body, send)
            return
        text, kind, digest = await asyncio.to_thread(self._get, wanted)
        await reply(send, 200, text, kind, head=scope["method"] == "HEAD", docker_content_digest=digest)

    async def _put(self, scope: Any, wanted: Asked, body: Body, send: Send) -> None:
        kind = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1").partition(";")[0]
        digest = await asyncio.to_thread(self._record, wanted, await read(body), kind)
        location = f"/v2/{wanted.repository}/manifests/{digest}"
        await reply(send, 201, b"", JSON, docker_content_digest=digest, location=location)

    def _record(self, wanted: Asked, text: bytes, kind: str) -> str:
        """Put an image as PutImage does; one that is there already, under this tag, is no error."""
        named = "imageDigest" if wanted.by_digest else "imageTag"
        request = {
            "repositoryName": wanted.repository,
            "imageManifest": _text(text),
            named: wanted.reference,
        }
        if kind not in ("", JSON):
            request["imageManifestMediaType"] = kind
        try:
            images.put_image(self._cloud, request)
        except ServiceError as error:
            if error.code != "ImageAlreadyExistsException":
                raise
        return digest_of(text)

    def _get(self, wanted: Asked) -> tuple[bytes, str, str]:
        record = repository(self._cloud, {"repositoryName": wanted.repository})
        named = "imageDigest" if wanted.by_digest else "imageTag"
        image = images.find(self._cloud, record, {named: wanted.reference})
        if image is None:
            raise Refusal(404, "MANIFEST_UNKNOWN", "Requested image not found")
        text = images.manifest(self._cloud, record, image)
        return text, image["imageManifestMediaType"], image["imageDigest"]

    async def _tags(self, scope: Any, wanted: Asked, body: Body, send: Send) -> None:
        names = await asyncio.to_thread(images.tags, self._cloud, wanted.repository)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        count = int(query["n"]) if query.get("n", "").isdecimal() else len(names)
        later = [each for each in names if each > query.get("last", "")]
        listed = json.dumps({"name": wanted.repository, "tags": later[:count]}).encode()
        more: dict[str, Any] = {}
        if 0 < count < len(later):
            following = urlencode({"last": later[count - 1], "n": count})
            more["link"] = f'<{wanted.path}?{following}>; rel="next"'
        await reply(send, 200, listed, JSON, **more)


def _text(manifest: bytes) -> str:
    """Return a manifest as text; refuse bytes that are none, for a digest is one of exactly these bytes."""
    try:
        return manifest.decode()
    except UnicodeDecodeError as error:
        raise Refusal(400, "MANIFEST_INVALID", f"the manifest is not UTF-8: {error}") from error


def _kept(query: str) -> str:
    """Return what of a query the registry may see: layers of other repositories are not mounted.

    Whoever pushes may not be allowed to read them; without the mount the layer is uploaded.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([(name, value) for name, value in pairs if name in {"digest", "_state"}])
