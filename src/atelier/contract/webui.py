"""What the pipeline of the WebUI's image, its functions and its users agree on.

SSM says what is launched: under ``/<prefix>/webui/`` lie the latest good image, the upstream commit that it
was made of, and its provenance. They are not there before the first image is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atelier.contract.documents import Invalid
from atelier.contract.values import Value

IMAGE = "image"
COMMIT = "upstream-commit"
PROVENANCE = "provenance"
"""The last parts of the parameters' names."""

LATEST_GOOD = "latest-good"
"""The word for the upstream commit of the latest good image, or the branch's head while there is none."""

DECLARATION = "images/webui/upstream.toml"
"""Where the source says which repository is followed."""

SHARED = tuple(
    f"images/training/diffusion/diffusion/{name}"
    for name in ("__init__.py", "cache.py", "envelope.py", "errors.py", "forms.py", "s3.py")
)
PATHS = ("extension/", "images/webui/", "buildspecs/webui", *SHARED)
"""What the paths begin with that the image is made of."""


def parameters(prefix: str) -> str:
    """Return what the names of an installation's parameters begin with."""
    return f"/{prefix}/webui"


class PublishImage(Value):
    """User parameters of `publish`: what was built of what, and what the test measured."""

    run: str
    upstream: str
    upstream_url: str
    source: str
    tag: str
    image: str
    size_bytes: str
    startup_seconds: str


class Provenance(Value):
    """Where the latest good image comes from; *previous* is the image that was the latest before it."""

    image: str
    tag: str
    upstream: str
    upstream_url: str
    source: str
    run: str
    published: str
    size_bytes: int
    startup_seconds: float
    previous: str = ""


class Push(Value):
    """A branch that moved in CodeCommit; there is no *old* commit of a new branch."""

    repository: str
    new: str
    old: str = ""


class RunChange(Value):
    """A run of the pipeline began, began again, or ended."""

    run: str
    state: str
    at: str


def pushed(event: Mapping[str, Any]) -> Push:
    """Read EventBridge's event of a branch that moved in CodeCommit."""
    try:
        detail = event["detail"]
        return Push(
            repository=detail["repositoryName"],
            new=detail["commitId"],
            old=str(detail.get("oldCommitId") or ""),
        )
    except (KeyError, TypeError) as error:
        raise Invalid(f"not a CodeCommit state change: {error} is missing") from error


def run_change(event: Mapping[str, Any]) -> RunChange:
    """Read EventBridge's event of a run of the pipeline."""
    try:
        detail, at = event["detail"], str(event["time"]).replace("Z", "+00:00")
        return RunChange(run=detail["execution-id"], state=detail["state"], at=at)
    except (KeyError, TypeError) as error:
        raise Invalid(f"not a CodePipeline state change: {error} is missing") from error
