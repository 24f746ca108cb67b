"""Checkpoints: models that artists bring along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from ..schema import UUID, Items, Members, Number, Text
from ..values import Value

CheckpointType = Literal[
    "Stable-diffusion", "embeddings", "Lora", "hypernetworks", "ControlNet", "VAE", "Comfy"
]

PATH = Text(max=512)
FILES = 20
PARTS = 100


class File(Value):
    """A file to upload in so many parts."""

    filename: Annotated[str, Text(min=1, max=255)]
    parts_number: Annotated[int, Number(min=1, max=PARTS)] = 1


class Remarks(Value):
    """What the maker of a checkpoint says about it."""

    message: Annotated[str, Text(max=2000)] | None = None
    creator: Annotated[str, Text(max=200)] | None = None


class CreateCheckpointRequest(Value):
    """A checkpoint to make of uploaded files, or of what lies at URLs: one of the two."""

    checkpoint_type: CheckpointType
    filenames: Annotated[tuple[File, ...], Items(min=1, max=FILES)] | None = None
    urls: Annotated[tuple[Annotated[str, Text(min=1, max=2048)], ...], Items(min=1, max=FILES)] | None = None
    params: Remarks | None = None
    source_path: Annotated[str, PATH] | None = None
    target_path: Annotated[str, PATH] | None = None


class Part(Value):
    """An uploaded part."""

    ETag: Annotated[str, Text(min=1, max=200)]
    PartNumber: Annotated[int, Number(min=1, max=10_000)]


class UpdateCheckpointRequest(Value):
    """The end of an upload: a status and the parts of each file; or another name."""

    status: Annotated[str, Text(max=100)] | None = None
    multi_parts_tags: (
        Annotated[
            Mapping[str, Annotated[tuple[Part, ...], Items(max=PARTS)]],
            Members(max=FILES),
        ]
        | None
    ) = None
    name: Annotated[str, Text(min=1, max=20, pattern="^[A-Za-z][A-Za-z0-9_-]*$")] | None = None


class DeleteCheckpointsRequest(Value):
    """The checkpoints to delete, with their files."""

    checkpoint_id_list: Annotated[tuple[Annotated[str, UUID], ...], Items(min=1, max=100)]


class Upload(Value):
    """An upload in parts that was begun."""

    upload_id: str
    bucket: str
    key: str


class CheckpointParams(Value):
    """What is kept with a checkpoint."""

    created: Annotated[str, Text(format="date-time")]
    creator: str
    message: str
    multipart_upload: Mapping[str, Upload]


class NewCheckpoint(Value):
    """A checkpoint that waits for its files."""

    id: Annotated[str, UUID]
    type: CheckpointType
    s3_location: str
    status: str
    params: CheckpointParams
    source_path: str | None
    target_path: str | None


class CreatedCheckpoint(Value):
    """A new checkpoint, and where to put each part of its files."""

    checkpoint: NewCheckpoint
    s3PresignUrl: Mapping[str, tuple[str, ...]]


class ChangedCheckpoint(Value):
    """A checkpoint after its status changed."""

    id: Annotated[str, UUID]
    type: CheckpointType
    s3_location: str
    status: str
    params: CheckpointParams


class UpdatedCheckpoint(Value):
    """What has become of a checkpoint."""

    checkpoint: ChangedCheckpoint


class Checkpoint(Value):
    """A checkpoint as it is listed."""

    id: Annotated[str, UUID]
    s3Location: str
    type: CheckpointType
    status: str
    name: tuple[str, ...]
    created: Annotated[str, Text(format="date-time")]
    params: Mapping[str, Any]
    allowed_roles_or_users: tuple[str, ...]
    source_path: str | None
    target_path: str | None


class Checkpoints(Value):
    """A page of checkpoints."""

    page: int
    per_page: int
    pages: int
    total: int
    checkpoints: tuple[Checkpoint, ...]
