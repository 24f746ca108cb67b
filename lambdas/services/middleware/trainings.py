"""Trainings: what is asked for, checked before anything begins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from atelier.contract.api.trainings import CONFIG_PARAMS, CreateTrainingJobRequest
from atelier.contract.schema import dump
from atelier.lambdas.domain.accounts import Caller
from atelier.lambdas.domain.datasets import Dataset
from atelier.lambdas.domain.work import Work
from atelier.lambdas.errors import Invalid
from atelier.lambdas.ports.work import Datasets, Executions, Models
from atelier.lambdas.services.middleware import products, work
from atelier.lambdas.services.middleware.parents import CHECKPOINT, parent
from atelier.lambdas.services.middleware.work import World

LARGEST_CONFIG = 64 * 1024


def create(
    request: CreateTrainingJobRequest,
    *,
    id: str,
    result: str,
    now: str,
    caller: Caller,
    world: World,
    models: Models,
    executions: Executions,
) -> Work:
    """Begin a training; *result* is the id of the LoRA that it will make."""
    check(request)
    trained = request.params.training_params
    model = models.find(CHECKPOINT, trained.model, caller)
    if model is None:
        raise Invalid(f"Model not found: {trained.model}")
    dataset = _dataset(trained.dataset, world.datasets)
    name = products.file_name(request.params.config_params.output_name)
    wanted = products.planned(result, "lora", name, caller=caller, now=now)
    planned = Work(
        id=id,
        kind="lora",
        creator=caller.name,
        created=now,
        name=name,
        result=result,
        output=wanted.files[0].key,
        request=json.dumps(dump(request)),
        instance_type=trained.training_instance_type,
        parents=(parent(model),),
        dataset=dataset.name,
        source=dataset.folder,
    )
    reserve = partial(products.reserve, wanted, planned, world=world.checkpoints)
    return work.start(planned, planned.asked, reserve=reserve, world=world, executions=executions)


def check(request: CreateTrainingJobRequest) -> None:
    """Refuse what this deployment cannot do, by name."""
    params = request.params
    if params.training_params.fm_type != "sd_1_5":
        raise Invalid(f"fm_type {params.training_params.fm_type} is not supported: sd_1_5 is")
    if params.enable_wd14_tagger:
        raise Invalid("enable_wd14_tagger is not supported: give each picture a caption file")
    given: Mapping[str, Any] = params.config_params.more
    if unknown := sorted(given.keys() - set(CONFIG_PARAMS)):
        raise Invalid(f"config_params: {', '.join(each[:60] for each in unknown[:10])} not known")
    if len(json.dumps(dict(given))) > LARGEST_CONFIG:
        raise Invalid(f"config_params: at most {LARGEST_CONFIG} characters")


def _dataset(name: str, datasets: Datasets) -> Dataset:
    found = datasets.get(name)
    if found is None:
        raise Invalid(f"Dataset not found: {name}")
    if found.status != "Enabled":
        raise Invalid(f"dataset {name} is {found.status}: enable it first")
    return found
