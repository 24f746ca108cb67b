"""What the serving fleet, its functions and its users agree on.

A model lies in the fleet's bucket as ``fleet/<name>/model.tar.gz``, with its SHA-256 in hexadecimal digits
beside it in ``model.tar.gz.sha256``, unless S3 itself keeps the SHA-256 of the whole object. SSM's parameter
``/<prefix>/fleet/model`` says in JSON which object, and which version of it, the fleet serves. A task gets
that parameter's name in MODEL_PARAMETER, with the parameter's version: ``/atelier/fleet/model:7``.
"""

from __future__ import annotations

import re

from atelier.contract.values import Value

PREFIX = "fleet/"
FILE = "model.tar.gz"
CHECKSUM = f"{FILE}.sha256"
MODEL_PARAMETER = "MODEL_PARAMETER"
"""The variable of a task's container that names the parameter."""

NO_BUCKET = "none"
"""What is said in a bucket's place where there is no fleet."""

CONTAINER = "model"
PORT = 8080

NAMES = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
KEY = re.compile(rf"{PREFIX}(?P<name>{NAMES})/{re.escape(FILE)}")
SHA256 = re.compile(r"[0-9a-f]{64}")

STATE = "state"
"""The key of the item that says what serves and what is tried; a landing's key is its identity."""

SERVING, TRYING, REFUSED, RETIRED, SUPERSEDED = "serving", "trying", "refused", "retired", "superseded"
KIND = "landing"


class Model(Value):
    """One version of one object in the bucket; *landed* is when it did, in UTC."""

    name: str
    bucket: str
    key: str
    version_id: str
    sha256: str
    size: int
    landed: str


def key(name: str) -> str:
    """Return where a model of a name lies."""
    return f"{PREFIX}{name}/{FILE}"


def beside(key: str) -> str:
    """Return where the SHA-256 of a model lies."""
    return f"{key.removesuffix(FILE)}{CHECKSUM}"


def identity(key: str, version_id: str) -> str:
    """Return what tells one landing from every other."""
    return f"{key}@{version_id}"


def parameter(prefix: str) -> str:
    """Return the name of an installation's parameter."""
    return f"/{prefix}/fleet/model"
