"""Checkpoints, uploaded in parts through the REST API."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from atelier.client.completions import opener
from atelier.client.errors import Problem, Refusal

if TYPE_CHECKING:
    from atelier.client.middleware import Api

PART = 64 * 1024 * 1024
"""Bytes of every part but the last; S3 takes none below 5 MiB."""

TIMEOUT = 600.0


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint that can be used."""

    id: str
    name: str
    type: str
    is_new: bool


def upload(api: Api, path: Path, *, type: str = "Stable-diffusion") -> Checkpoint:
    """Upload a file as a checkpoint of its name, unless one is there."""
    if found := _found(api, path.name, type):
        return found
    parts = max(1, -(-path.stat().st_size // PART))
    asked = {"checkpoint_type": type, "filenames": [{"filename": path.name, "parts_number": parts}]}
    made = api.call("POST", "checkpoints", asked)
    id, links = made["checkpoint"]["id"], made["s3PresignUrl"][path.name]
    tags = [
        {"ETag": put(link, body), "PartNumber": number}
        for number, (link, body) in enumerate(zip(links, pieces(path), strict=True), start=1)
    ]
    api.call("PUT", f"checkpoints/{id}", {"status": "Active", "multi_parts_tags": {path.name: tags}})
    return Checkpoint(id=id, name=path.name, type=type, is_new=True)


def _found(api: Api, name: str, type: str) -> Checkpoint | None:
    query = urlencode({"types": type, "status": "Active", "per_page": 1000})
    for each in api.call("GET", f"checkpoints?{query}")["checkpoints"]:
        if name in each["name"]:
            return Checkpoint(id=each["id"], name=name, type=type, is_new=False)
    return None


def pieces(path: Path) -> Iterator[bytes]:
    """Yield the parts of a file; an empty file has one, too."""
    with path.open("rb") as file:
        yield file.read(PART)
        while body := file.read(PART):
            yield body


def put(link: str, body: bytes) -> str:
    """Put a part where a presigned link says; return its entity tag."""
    headers = {"Content-Type": "application/octet-stream"}
    answer = _asked(urllib.request.Request(link, data=body, headers=headers, method="PUT"))
    return str(answer[0]["ETag"])


def get(link: str) -> bytes:
    """Return what lies where a presigned link says."""
    return bytes(_asked(urllib.request.Request(link))[1])


def _asked(request: urllib.request.Request) -> tuple[Any, bytes]:
    # a presigned link opens what it names: it stays out of every text
    try:
        with opener(request.full_url).open(request, timeout=TIMEOUT) as answer:
            return answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise Refusal(f"S3 answered {error.code} to a presigned {request.method}") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise Problem(f"S3 cannot be reached at {request.host}: {reason}") from error
