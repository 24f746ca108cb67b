"""Where work, datasets and what they make are kept, for every function that has to do with them."""

from __future__ import annotations

from atelier.lambdas.bootstrap.work import Keeping
from atelier.lambdas.services.middleware import checkpoints
from atelier.lambdas.services.middleware.work import World


def world(keeping: Keeping) -> World:
    """Return what services of work are given."""
    made = checkpoints.World(
        checkpoints=keeping.checkpoints, uploads=keeping.uploads, folders=keeping.folders
    )
    return World(works=keeping.works, datasets=keeping.datasets, files=keeping.files, checkpoints=made)
