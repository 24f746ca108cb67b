"""Tables as template, adapter and test agree on them: the attributes that are keys, and the indexes."""

from __future__ import annotations

from atelier.contract.values import Value


class Index(Value):
    """A global secondary index over all attributes; items without its keys are not in it."""

    name: str
    hash: str
    range: str


class Table(Value):
    """A table's key and its indexes; every key is a string."""

    hash: str
    indexes: tuple[Index, ...] = ()


CHECKPOINTS = Table(
    hash="id",
    indexes=(
        Index(name="kind-created-index", hash="kind", range="created"),
        Index(name="type-created-index", hash="type", range="created"),
    ),
)
"""Checkpoints by their ids, and the claims of names; the indexes have the checkpoints alone."""

ENDPOINTS = Table(
    hash="id",
    indexes=(Index(name="kind-startTime-index", hash="kind", range="startTime"),),
)
"""Endpoints by their names, and the claims of roles; the index has the endpoints alone."""

INFERENCES = Table(
    hash="id",
    indexes=(
        Index(name="taskType-createTime-index", hash="taskType", range="createTime"),
        Index(name="userTask-createTime-index", hash="userTask", range="createTime"),
        Index(name="running-startTime-index", hash="running", range="startTime"),
    ),
)
"""Jobs by their ids; the last index has only those that run."""

WEBUI_HISTORY = Table(
    hash="id",
    indexes=(Index(name="kind-started-index", hash="kind", range="started"),),
)
"""Runs of the WebUI's pipeline, upstream commits that were begun, and the last look at upstream; the index
has only the runs."""

WORK = Table(
    hash="id",
    indexes=(
        Index(name="kind-created-index", hash="kind", range="created"),
        Index(name="running-created-index", hash="running", range="created"),
    ),
)
"""Trainings, merges and crops by their ids; the last index has only those that are not done with."""

DATASETS = Table(
    hash="id",
    indexes=(Index(name="kind-created-index", hash="kind", range="created"),),
)
"""Datasets by their names."""

FLEET = Table(
    hash="id",
    indexes=(Index(name="kind-landed-index", hash="kind", range="landed"),),
)
"""What the fleet serves and tries, and every model that has landed; the index has only the latter."""
