"""Merges: checkpoints made of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from ..schema import UUID, About, Items, Number, Text
from ..values import Value
from .work import OUTPUT_NAME, TIME, LinkedFile, Progress, WorkStatus

MergeMethod = Literal["weighted_sum", "add_difference", "no_interpolation"]
MergePrecision = Literal["fp16", "bf16", "fp32"]

PARENTS: Mapping[str, int] = {"no_interpolation": 1, "weighted_sum": 2, "add_difference": 3}
"""How many checkpoints each method takes."""


class MergeCheckpointsRequest(Value):
    """A merge to begin: A; A and B; or A, B and C."""

    method: Annotated[
        MergeMethod,
        About(
            "weighted_sum: A * (1 - multiplier) + B * multiplier; add_difference: A + (B - C) * multiplier; "
            "no_interpolation: A as it is, in another precision."
        ),
    ]
    checkpoints: Annotated[
        tuple[Annotated[str, Text(min=1, max=255)], ...],
        Items(min=1, max=3),
        About("Names or ids of Stable-diffusion checkpoints, in the order of A, B and C."),
    ]
    output_name: Annotated[str, OUTPUT_NAME, About("The name of the checkpoint to make.")]
    multiplier: Annotated[float, Number(min=0, max=1)] = 0.3
    precision: MergePrecision = "fp16"


class DeleteMergesRequest(Value):
    """The merges to delete, with their logs; the checkpoints that they made stay."""

    merge_id_list: Annotated[tuple[Annotated[str, UUID], ...], Items(min=1, max=100)]


class MergeParent(Value):
    """A checkpoint that a merge takes."""

    id: Annotated[str, UUID]
    name: str
    sha256: str | None


class Merge(Value):
    """A merge as it is listed."""

    id: Annotated[str, UUID]
    status: WorkStatus
    method: str
    multiplier: float
    precision: str
    output_name: str
    parents: tuple[MergeParent, ...]
    creator: str
    created: Annotated[str, TIME]
    completed: Annotated[str, TIME] | None = None
    checkpoint_id: Annotated[str, UUID, About("The checkpoint, once it is made.")] | None = None
    error: Annotated[str, About("Why it failed.")] | None = None


class MergeDetail(Merge):
    """A merge, as far as it is, with links to its logs."""

    logs: tuple[LinkedFile, ...]
    progress: Progress | None = None
    result: Mapping[str, Any] | None = None


class CreatedMerge(Value):
    """A merge that was begun."""

    merge: Merge


class Merges(Value):
    """A page of merges, the newest first."""

    merges: tuple[Merge, ...]
    last_evaluated_key: str | None


class StoppedMerge(Value):
    """A merge that will not run to its end."""

    id: Annotated[str, UUID]
    status: WorkStatus
