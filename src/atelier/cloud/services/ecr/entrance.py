"""Who may do what at the registry's front: passwords of GetAuthorizationToken, permissions of IAM."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from atelier.cloud.context import Caller, Cloud
from atelier.cloud.engines.registry import Tokens

PART = r"[a-z0-9]+(?:[._-][a-z0-9]+)*"
NAME = rf"(?P<name>{PART}(?:/{PART})*)"
DIGEST = r"sha256:[0-9a-f]{64}"

ACTIONS: tuple[tuple[str, re.Pattern[str], Mapping[str, str]], ...] = (
    ("uploads", re.compile(rf"/v2/{NAME}/blobs/uploads/?"), {"POST": "InitiateLayerUpload"}),
    (
        "uploads",
        re.compile(rf"/v2/{NAME}/blobs/uploads/(?P<reference>[0-9a-f-]{{36}})"),
        {
            "GET": "UploadLayerPart",
            "PATCH": "UploadLayerPart",
            "PUT": "CompleteLayerUpload",
            "DELETE": "UploadLayerPart",
        },
    ),
    (
        "blobs",
        re.compile(rf"/v2/{NAME}/blobs/(?P<reference>{DIGEST})"),
        {"HEAD": "BatchCheckLayerAvailability", "GET": "GetDownloadUrlForLayer"},
    ),
    (
        "manifests",
        re.compile(rf"/v2/{NAME}/manifests/(?P<reference>{DIGEST}|\w[\w.-]{{0,127}})", re.ASCII),
        {"HEAD": "BatchGetImage", "GET": "BatchGetImage", "PUT": "PutImage"},
    ),
    ("tags", re.compile(rf"/v2/{NAME}/tags/list"), {"GET": "ListImages"}),
)
"""What the protocol's paths are, and which of ECR's actions each method needs on the repository."""


class Refusal(Exception):
    """An answer that is an error: status, the protocol's code, and what a person reads."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers


@dataclass(frozen=True)
class Asked:
    """One request of the protocol."""

    kind: str
    repository: str
    reference: str
    action: str
    path: str = field(default="")

    @property
    def by_digest(self) -> bool:
        """Whether the reference is a digest."""
        return self.reference.startswith("sha256:")


def asked(method: str, path: str) -> Asked:
    """Return what a request asks for; raise Refusal when the registry has no such thing."""
    for kind, pattern, actions in ACTIONS:
        if found := pattern.fullmatch(path):
            if method not in actions:
                raise Refusal(405, "UNSUPPORTED", f"{method} of {kind} is not part of ECR's registry")
            reference = found.groupdict().get("reference") or ""
            return Asked(kind, found["name"], reference, actions[method], path)
    raise Refusal(404, "UNSUPPORTED", f"{path} is not part of the local cloud's registry")


def admitted(cloud: Cloud, host: str, headers: Mapping[bytes, bytes]) -> Caller:
    """Return who holds the password that a request carries; raise Refusal for none, or one that is over."""
    challenge = {"www-authenticate": f'Basic realm="http://{host}/",service="ecr.amazonaws.com"'}
    password = _password(headers.get(b"authorization", b""))
    if password is None:
        raise Refusal(401, "UNAUTHORIZED", "no basic auth credentials: `docker login` first", **challenge)
    known = Tokens(cloud.home).known(password, host)
    if known is None:
        raise Refusal(401, "UNAUTHORIZED", "the authorization token is not one of this registry", **challenge)
    holder = Caller(**known["holder"])
    caller = cloud.identity.signer(holder.access_key) if holder.access_key else holder
    if known["expires"] < time.time() or caller is None:
        raise Refusal(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
    return caller


def _password(header: bytes) -> str | None:
    scheme, _, encoded = header.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return password if user == "AWS" else ""


def authorise(cloud: Cloud, caller: Caller, wanted: Asked) -> None:
    """Raise Refusal unless IAM lets the caller do this to the repository."""
    action, resource = f"ecr:{wanted.action}", cloud.arn("ecr", f"repository/{wanted.repository}")
    if not cloud.identity.allows(caller, action, resource):
        message = f"User: {caller.arn} is not authorized to perform: {action} on resource: {resource}"
        raise Refusal(403, "DENIED", message)
