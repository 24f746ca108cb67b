"""Changes: a push that touches what the image is made of has it built anew; others have not."""

from __future__ import annotations

from atelier.contract.webui import PATHS, Push
from atelier.lambdas.errors import NotFound
from atelier.lambdas.ports.webui import Differences, Starts


def take(push: Push, token: str, *, differences: Differences, pipeline: Starts) -> str | None:
    """Start the pipeline, once for each token, if a push touches the image; return the run."""
    return pipeline.start(token) if touches(push, differences=differences) else None


def touches(push: Push, *, differences: Differences) -> bool:
    """Say whether a push touches the image: a new branch does, and one whose past is gone."""
    if not push.old:
        return True
    try:
        return any(path.startswith(PATHS) for path in differences.paths(push))
    except NotFound:
        return True
