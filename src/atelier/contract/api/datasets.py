"""Datasets: pictures with their captions, from which models are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from ..schema import About, Items, Members, Rest, Text
from ..values import Value
from .work import LINK, TIME

DatasetStatus = Literal["Initialed", "Enabled", "Disabled"]

MOST_AT_ONCE = 500


class NewFile(Value):
    """A picture or a caption that will be uploaded."""

    filename: Annotated[str, Text(min=1, max=255)]
    name: Annotated[str, Text(min=1, max=255)] | None = None
    type: Annotated[str, Text(min=1, max=100)] = "image"
    params: Annotated[Mapping[str, Any], Members(max=20)] | None = None


class DatasetParams(Value):
    """What is said of a dataset."""

    description: Annotated[str, Text(max=2000)] = ""


class CreateDatasetRequest(Value):
    """A dataset to make, or files to add to one that is still Initialed."""

    dataset_name: Annotated[str, Text(min=1, max=20, pattern="^[A-Za-z][A-Za-z0-9_-]*$")]
    content: Annotated[tuple[NewFile, ...], Items(min=1, max=MOST_AT_ONCE)]
    creator: Annotated[str, Text(min=1, max=200), About("For clients that say so; the acting user counts.")]
    prefix: Annotated[
        str,
        Text(max=200),
        About("A folder for the files, such as 10_name, which means ten repeats; empty for none."),
    ]
    params: DatasetParams | None = None


class UpdateDatasetRequest(Value):
    """The status that a dataset shall have."""

    status: DatasetStatus


class CropDatasetRequest(Value):
    """The size to which pictures are cropped."""

    max_resolution: Annotated[str, Text(max=11, pattern=r"^[1-9]\d*x[1-9]\d*$")]


class DeleteDatasetsRequest(Value):
    """The datasets to delete, with their files."""

    dataset_name_list: Annotated[tuple[Annotated[str, Text(max=100)], ...], Items(min=1, max=10)]


class CreatedDataset(Value):
    """Where the files of a dataset may be put."""

    datasetName: str
    s3PresignUrl: Mapping[str, str]


class Dataset(Value):
    """A dataset as it is listed; open to what else is known of it: of what it was cropped, and how far."""

    datasetName: str
    s3: Annotated[str, LINK]
    status: DatasetStatus
    timestamp: Annotated[str, TIME]
    description: str
    creator: str
    more: Rest = field(default_factory=dict)


class Datasets(Value):
    """A page of datasets, the newest first."""

    datasets: tuple[Dataset, ...]
    last_evaluated_key: str | None


class DatasetFile(Value):
    """A file of a dataset."""

    key: str
    name: str
    original_file_name: str
    type: str
    preview_url: Annotated[str, LINK]
    dataStatus: Annotated[
        str, About("Initialed until it is uploaded, then Enabled; Disabled when it is of no use.")
    ]
    size: int | None = None
    reason: Annotated[str, About("Why it is Disabled.")] | None = None


class DatasetDetail(Dataset):
    """A dataset with its files; a large one goes on at *last_evaluated_key*."""

    dataset_name: str
    prefix: str
    data: tuple[DatasetFile, ...]
    last_evaluated_key: str | None


class UpdatedDataset(Value):
    """A dataset after its status changed."""

    datasetName: str
    status: DatasetStatus


class CroppedDataset(Value):
    """The dataset that the cropped pictures become."""

    dataset_name: str
