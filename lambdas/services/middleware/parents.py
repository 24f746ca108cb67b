"""The checkpoints that trainings and merges begin from."""

from __future__ import annotations

from atelier.lambdas.domain.inferences import Model
from atelier.lambdas.domain.work import Parent

CHECKPOINT = "Stable-diffusion"


def parent(model: Model) -> Parent:
    """Return a checkpoint as work knows it."""
    return Parent(id=model.id, name=model.name, s3=model.s3, sha256=model.sha256 or "")
