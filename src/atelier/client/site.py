"""The documentation's site: what is built goes to its bucket, and CloudFront forgets what has changed."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from atelier.client.errors import NotDeployed, Problem
from atelier.client.outputs import PREFIX, outputs

if TYPE_CHECKING:
    from atelier.client.session import Clients

STACK = "docs-site"
PENDING = ".publishing.json"
"""What a publication that was cut has changed, and CloudFront was not told of: an object beside the pages."""

MOST_PATHS = 100
"""More paths than these are invalidated as one, which CloudFront counts as one."""

PATIENCE = 1_200.0
TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
HASHED = re.compile(r"\.[0-9a-f]{8}\.(min\.)?(js|css)(\.map)?$")
ASKED_ANEW = frozenset({".css", ".html", ".js", ".json", ".txt", ".xml"})
"""What a reader should always have as it was published last; pictures may be an hour older."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the site of an installation is."""

    url: str
    bucket: str
    distribution: str

    def document(self) -> dict[str, str]:
        """Return what programs are told."""
        return {
            "DocsUrl": self.url,
            "DocsBucketName": self.bucket,
            "DocsDistributionId": self.distribution,
        }


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of the site, as it is built."""

    key: str
    body: bytes = field(repr=False)

    @property
    def etag(self) -> str:
        """What S3 calls an object of these bytes."""
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'

    @property
    def headers(self) -> dict[str, str]:
        """What the file is, and how long it may be kept by browsers, and by CloudFront."""
        suffix = Path(self.key).suffix
        if HASHED.search(self.key):
            kept = "public, max-age=31536000, immutable"
        else:
            seconds = 0 if suffix in ASKED_ANEW else 3600
            kept = f"public, max-age={seconds}, s-maxage=31536000, must-revalidate"
        return {"ContentType": TYPES[suffix], "CacheControl": kept}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a publication has to do."""

    new: tuple[File, ...]
    changed: tuple[File, ...]
    removed: tuple[str, ...]
    same: int
    left: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """What CloudFront must forget: new files it has never had."""
        told = {*self.left, *(path(each.key) for each in self.changed), *map(path, self.removed)}
        if "/index.html" in told:
            told.add("/")
        return tuple(sorted(told)) if len(told) <= MOST_PATHS else ("/*",)

    def document(self) -> dict[str, Any]:
        """Return what programs are told."""
        return {
            "new": [each.key for each in self.new],
            "changed": [each.key for each in self.changed],
            "removed": list(self.removed),
            "same": self.same,
            "invalidated": list(self.paths),
        }


def path(key: str) -> str:
    """Return the path of an object on the site."""
    return "/" + quote(key)


def built(folder: Path) -> list[File]:
    """Read a built site; refuse a folder that is none, since publishing it would remove everything."""
    if not (folder / "index.html").is_file():
        raise Problem(f"{folder} has no index.html: build the site with `make docs` first")
    found = [each for each in sorted(folder.rglob("*")) if each.is_file()]
    if strange := [each for each in found if each.suffix not in TYPES]:
        raise Problem(
            f"{strange[0]} is no file that a site serves: its kind, {strange[0].suffix}, is not known"
        )
    return [File(key=each.relative_to(folder).as_posix(), body=each.read_bytes()) for each in found]


def place(clients: Clients, prefix: str = PREFIX) -> Place:
    """Find the site; raise NotDeployed before it is there."""
    try:
        found = outputs(clients, f"{prefix}-{STACK}")
        return Place(
            url=_url(clients, found["DocsUrl"]),
            bucket=found["DocsBucketName"],
            distribution=found["DocsDistributionId"],
        )
    except (KeyError, NotDeployed) as error:
        raise NotDeployed(
            f"there is no docs site {prefix} in {clients.where}: run `atelier deploy docs`"
        ) from error


def _url(clients: Clients, url: str) -> str:
    """Return where the site answers: at its own address, or below the local cloud's."""
    if clients.endpoint is None:
        return url
    label = (urlsplit(url).hostname or "").partition(".")[0]
    return f"http://{label}.cloudfront.localhost:{urlsplit(clients.endpoint).port}/"


@dataclass(frozen=True, kw_only=True)
class Site:
    """The bucket and the distribution of a site."""

    s3: Any
    cloudfront: Any
    place: Place
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def plan(self, files: Iterable[File], *, everything: bool = False) -> Plan:
        """Compare what is built with what is published; *everything* sends what is the same, too."""
        there = self._published()
        left = self._left() if there.pop(PENDING, None) else ()
        new, changed, same = [], [], 0
        for each in files:
            before = there.pop(each.key, None)
            if before is None:
                new.append(each)
            elif everything or before != each.etag:
                changed.append(each)
            else:
                same += 1
        return Plan(
            new=tuple(new), changed=tuple(changed), removed=tuple(sorted(there)), same=same, left=left
        )

    def publish(self, plan: Plan) -> None:
        """Send what is new, pages last; remove what is gone; return when CloudFront has forgotten the old."""
        if not (plan.new or plan.paths):
            return
        if plan.paths:
            self._note(plan.paths)
        for batch in _pages_last((*plan.new, *plan.changed)):
            with ThreadPoolExecutor(8) as workers:
                list(workers.map(self._put, batch))
        self._remove(plan.removed)
        if plan.paths:
            self._invalidate(plan.paths)
            self.s3.delete_object(Bucket=self.place.bucket, Key=PENDING)

    def _published(self) -> dict[str, str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.place.bucket)
        return {each["Key"]: each["ETag"] for page in pages for each in page.get("Contents", ())}

    def _left(self) -> tuple[str, ...]:
        body = self.s3.get_object(Bucket=self.place.bucket, Key=PENDING)["Body"].read()
        return tuple(json.loads(body))

    def _note(self, paths: tuple[str, ...]) -> None:
        body = json.dumps(paths).encode()
        self.s3.put_object(
            Bucket=self.place.bucket,
            Key=PENDING,
            Body=body,
            ContentType=TYPES[".json"],
            CacheControl="no-store",
        )

    def _put(self, file: File) -> None:
        self.s3.put_object(Bucket=self.place.bucket, Key=file.key, Body=file.body, **file.headers)

    def _remove(self, keys: tuple[str, ...]) -> None:
        for first in range(0, len(keys), 1000):
            objects = [{"Key": each} for each in keys[first : first + 1000]]
            answer = self.s3.delete_objects(
                Bucket=self.place.bucket, Delete={"Objects": objects, "Quiet": True}
            )
            if errors := answer.get("Errors"):
                raise Problem(f"{errors[0]['Key']} cannot be removed: {errors[0]['Message']}")

    def _invalidate(self, paths: tuple[str, ...]) -> None:
        batch = {
            "Paths": {"Quantity": len(paths), "Items": list(paths)},
            "CallerReference": f"atelier-{time.time_ns():x}",
        }
        made = self.cloudfront.create_invalidation(
            DistributionId=self.place.distribution, InvalidationBatch=batch
        )["Invalidation"]
        until = self.clock() + PATIENCE
        while made["Status"] != "Completed":
            if self.clock() > until:
                raise Problem(
                    f"CloudFront's invalidation {made['Id']} is still {made['Status']}: publish again"
                )
            self.sleep(3)
            made = self.cloudfront.get_invalidation(DistributionId=self.place.distribution, Id=made["Id"])[
                "Invalidation"
            ]


def _pages_last(files: Iterable[File]) -> tuple[list[File], list[File]]:
    pages: list[File] = []
    others: list[File] = []
    for each in files:
        (pages if each.key.endswith(".html") else others).append(each)
    return others, pages


def connect(clients: Clients, prefix: str = PREFIX) -> Site:
    """Return the site of an installation."""
    return Site(s3=clients.s3, cloudfront=clients.cloudfront, place=place(clients, prefix))
