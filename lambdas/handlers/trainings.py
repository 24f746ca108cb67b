"""The operations on trainings."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, TypeGuard

from atelier.contract.api import trainings as bodies
from atelier.contract.api.work import LinkedFile
from atelier.contract.schema import build
from atelier.lambdas.bootstrap import work as wiring
from atelier.lambdas.domain.work import Work
from atelier.lambdas.handlers.callers import callers
from atelier.lambdas.handlers.clock import now
from atelier.lambdas.handlers.http import Answer, Api, Call
from atelier.lambdas.handlers.worlds import world
from atelier.lambdas.ports.work import Files
from atelier.lambdas.services.middleware import reports, trainings, work

api = Api(callers)
handle = api.handle

EVERYBODYS = "train:all"


@api.operation("ListTrainings")
def list_trainings(call: Call) -> Answer:
    """List a page of trainings."""
    keeping, query = wiring.running().keeping, call.query
    page = work.listed("lora", limit=query["limit"], start=query["exclusive_start_key"], works=keeping.works)
    told = tuple(listing(each, keeping.files) for each in page.items)
    return Answer(200, bodies.Trainings(trainings=told, last_evaluated_key=page.token))


@api.operation("CreateTraining")
def create_training(call: Call) -> Answer:
    """Begin a training."""
    ports = wiring.running()
    made = trainings.create(
        call.body,
        id=str(uuid.uuid4()),
        result=str(uuid.uuid4()),
        now=now(),
        caller=call.caller,
        world=world(ports.keeping),
        models=ports.models,
        executions=ports.executions,
    )
    files = ports.keeping.files
    told = bodies.CreatedTraining(
        id=made.id,
        status=made.status,
        created=made.created,
        params=params(made, files),
        input_location=files.uri(made.source),
        output_location=files.uri(made.output),
    )
    return Answer(201, told, message="training created")


@api.operation("GetTraining")
def get_training(call: Call) -> Answer:
    """Show a training, as far as it is."""
    keeping = wiring.running().keeping
    found = work.get(call.path["id"], "lora", works=keeping.works)
    return Answer(200, detail(found, reports.read(found, keeping.files), keeping.files))


@api.operation("StopTraining")
def stop_training(call: Call) -> Answer:
    """Stop a training."""
    ports = wiring.running()
    found = work.stop(
        call.path["id"],
        "lora",
        caller=call.caller,
        everybodys=EVERYBODYS,
        now=now(),
        world=world(ports.keeping),
        executions=ports.executions,
    )
    return Answer(200, bodies.StoppedTraining(id=found.id, status=found.status), message="training stopped")


@api.operation("DeleteTrainings")
def delete_trainings(call: Call) -> Answer:
    """Delete trainings."""
    ports = wiring.running()
    work.delete(
        call.body.training_id_list,
        "lora",
        now=now(),
        world=world(ports.keeping),
        executions=ports.executions,
    )
    return Answer(204)


def listing(found: Work, files: Files) -> bodies.Training:
    """Return a training as it is listed."""
    return bodies.Training(
        id=found.id,
        modelName=found.name,
        status=found.status,
        trainType=found.asked["lora_train_type"],
        created=found.created,
        sagemakerTrainName=found.job,
        params=params(found, files),
        creator=found.creator,
        error=found.error or None,
    )


def params(found: Work, files: Files) -> bodies.TrainingParams:
    """Return what a training was made from, and where that lies."""
    asked = found.asked
    given: dict[str, Any] = asked["params"]
    places = {
        "s3_model_path": found.parents[0].s3,
        "s3_data_path": files.uri(found.source),
        "s3_toml_path": files.uri(found.config_key),
    }
    return bodies.TrainingParams(
        training_type=asked["lora_train_type"],
        training_params={**given["training_params"], **places},
        config_params=build(bodies.TrainingConfig, given["config_params"]),
        more={"enable_wd14_tagger": bool(given.get("enable_wd14_tagger", False))},
    )


def detail(found: Work, report: reports.Report, files: Files) -> bodies.TrainingDetail:
    """Return a training with links to what it has told so far."""
    return bodies.TrainingDetail(
        id=found.id,
        job_status=found.status,
        model_id=found.parents[0].id,
        params=params(found, files),
        timestamp=found.created,
        train_type=found.asked["lora_train_type"],
        sagemaker_train_name=found.job,
        creator=found.creator,
        logs=links(found, report.logs, files),
        samples=links(found, report.samples, files),
        metrics=tuple(metrics(report.metrics)),
        checkpoint_id=found.result if found.status == "Completed" else None,
        result=report.result,
        completed=found.completed or None,
        error=found.error or None,
    )


def links(found: Work, names: tuple[str, ...], files: Files) -> tuple[LinkedFile, ...]:
    """Return links to files of a report."""
    return tuple(
        LinkedFile(filename=each.rpartition("/")[2], url=files.download_url(f"{found.report}{each}"))
        for each in names
    )


def metrics(told: tuple[Mapping[str, Any], ...]) -> Iterator[bodies.Metric]:
    """Return the steps that a container measured; a line of another kind is none."""
    for each in told:
        step, epoch, loss, rate = (each.get(name) for name in ("step", "epoch", "loss", "lr"))
        if isinstance(step, int) and isinstance(epoch, int) and _is_number(loss) and _is_number(rate):
            at = str(each.get("at") or "")
            yield bodies.Metric(step=step, epoch=epoch, loss=float(loss), lr=float(rate), at=at)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and isfinite(value)
