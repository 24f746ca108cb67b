"""The operations on datasets."""

from __future__ import annotations

import uuid
from typing import Any

from atelier.contract.api import datasets as bodies
from atelier.lambdas.bootstrap import work as wiring
from atelier.lambdas.domain.datasets import Dataset
from atelier.lambdas.handlers.callers import callers
from atelier.lambdas.handlers.clock import now
from atelier.lambdas.handlers.http import Answer, Api, Call
from atelier.lambdas.handlers.worlds import world
from atelier.lambdas.ports.work import Files
from atelier.lambdas.services.middleware import datasets

api = Api(callers)
handle = api.handle

LINK_SECONDS = 7 * 24 * 3600
"""A link is worth no more than the credentials that signed it, which end earlier at times."""
EMPTY = "the file is empty"


@api.operation("ListDatasets")
def list_datasets(call: Call) -> Answer:
    """List a page of datasets."""
    keeping, query = wiring.running().keeping, call.query
    page = datasets.listed(
        status=query["dataset_status"],
        limit=query["limit"],
        start=query["exclusive_start_key"],
        datasets=keeping.datasets,
    )
    told = tuple(bodies.Dataset(**row(each, keeping.files)) for each in page.items)
    return Answer(200, bodies.Datasets(datasets=told, last_evaluated_key=page.token))


@api.operation("CreateDataset")
def create_dataset(call: Call) -> Answer:
    """Make a dataset, or add files to one, and say where they go."""
    keeping = wiring.running().keeping
    made, keys = datasets.create(
        call.body, caller=call.caller, now=now(), datasets=keeping.datasets, files=keeping.files
    )
    links = {name: keeping.files.upload_url(key, LINK_SECONDS) for name, key in keys.items()}
    told = bodies.CreatedDataset(datasetName=made.name, s3PresignUrl=links)
    return Answer(201, told, message="dataset created")


@api.operation("GetDataset")
def get_dataset(call: Call) -> Answer:
    """Show a dataset with some of its files."""
    keeping = wiring.running().keeping
    found = datasets.opened(
        call.path["id"],
        start=call.query["exclusive_start_key"],
        datasets=keeping.datasets,
        files=keeping.files,
    )
    told = bodies.DatasetDetail(
        **row(found.dataset, keeping.files),
        dataset_name=found.dataset.name,
        prefix=found.dataset.prefix,
        data=tuple(file(each, keeping.files) for each in found.files),
        last_evaluated_key=found.last.token() if found.last else None,
    )
    return Answer(200, told)


@api.operation("UpdateDataset")
def update_dataset(call: Call) -> Answer:
    """Enable a dataset, or take it out of use."""
    keeping = wiring.running().keeping
    made = datasets.update(call.path["id"], call.body.status, datasets=keeping.datasets, files=keeping.files)
    return Answer(200, bodies.UpdatedDataset(datasetName=made.name, status=made.status))


@api.operation("CropDataset")
def crop_dataset(call: Call) -> Answer:
    """Begin a crop."""
    ports = wiring.running()
    made = datasets.crop(
        call.path["id"],
        call.body.max_resolution,
        id=str(uuid.uuid4()),
        now=now(),
        caller=call.caller,
        instance_type=ports.instance_type,
        world=world(ports.keeping),
        executions=ports.executions,
    )
    return Answer(202, bodies.CroppedDataset(dataset_name=made.name), message="crop begun")


@api.operation("DeleteDatasets")
def delete_datasets(call: Call) -> Answer:
    """Delete datasets with their files."""
    ports = wiring.running()
    datasets.delete(
        call.body.dataset_name_list,
        now=now(),
        world=world(ports.keeping),
        executions=ports.executions,
    )
    return Answer(204)


def row(dataset: Dataset, files: Files) -> dict[str, Any]:
    """Return the members of a dataset as it is listed."""
    more: dict[str, Any] = {}
    if crop := dataset.crop:
        said = {"of": crop.of, "max_resolution": crop.max_resolution, "status": crop.status}
        more["crop"] = {**said, "error": crop.error} if crop.error else said
    return {
        "datasetName": dataset.name,
        "s3": files.uri(dataset.folder.rstrip("/")),
        "status": dataset.status,
        "timestamp": dataset.created,
        "description": dataset.description,
        "creator": dataset.creator,
        "more": more,
    }


def file(shown: datasets.Shown, files: Files) -> bodies.DatasetFile:
    """Return a file, whether it can be used, and a link to look at it."""
    reason = shown.entry.reason or (EMPTY if shown.size == 0 else "")
    waits = shown.size is None and not reason
    return bodies.DatasetFile(
        key=shown.key,
        name=shown.entry.name,
        original_file_name=shown.entry.path.rpartition("/")[2],
        type=shown.entry.type,
        preview_url=files.download_url(shown.key),
        dataStatus="Disabled" if reason else "Initialed" if waits else "Enabled",
        size=shown.size,
        reason=reason or None,
    )
