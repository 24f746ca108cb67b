"""The operations on inferences."""

from __future__ import annotations

import uuid
from typing import Any

from atelier.contract.api import inferences as bodies
from atelier.lambdas.bootstrap import inferences as wiring
from atelier.lambdas.domain.inferences import Inference, Model
from atelier.lambdas.handlers.callers import callers
from atelier.lambdas.handlers.clock import now
from atelier.lambdas.handlers.http import Answer, Api, Call
from atelier.lambdas.ports.inferences import Objects
from atelier.lambdas.services.middleware import inferences

api = Api(callers)
handle = api.handle


def world() -> inferences.World:
    """Return where jobs are kept and run."""
    ports = wiring.running()
    return inferences.World(
        jobs=ports.taking.jobs,
        objects=ports.taking.objects,
        invocations=ports.invocations,
        endpoints=ports.endpoints,
    )


@api.operation("ListInferences")
def list_inferences(call: Call) -> Answer:
    """List jobs, the newest first."""
    objects = wiring.running().taking.objects
    page = inferences.listed(
        call.query["type"],
        limit=call.query["limit"],
        start=call.query["exclusive_start_key"],
        username=call.query["username"],
        caller=call.caller,
        jobs=wiring.running().taking.jobs,
    )
    told = tuple(bodies.Inference(**row(each, objects)) for each in page.items)
    return Answer(200, bodies.Inferences(inferences=told, last_evaluated_key=page.token))


@api.operation("CreateInferenceJob")
def create_inference_job(call: Call) -> Answer:
    """Make a job, and start it when its parameters are there."""
    job = inferences.create(
        call.body,
        id=str(uuid.uuid4()),
        now=now(),
        caller=call.caller,
        world=world(),
        checkpoints=wiring.running().checkpoints,
    )
    if call.body.payload_string is not None:
        return started(job)
    return Answer(201, created(job), message="inference created")


@api.operation("StartInferences")
def start_inferences(call: Call) -> Answer:
    """Start a job whose parameters were uploaded."""
    return started(inferences.start(call.path["id"], now=now(), caller=call.caller, world=world()))


@api.operation("GetInferenceJob")
def get_inference_job(call: Call) -> Answer:
    """Show a job."""
    ports = wiring.running().taking
    return Answer(200, detail(inferences.get(call.path["id"], caller=call.caller, jobs=ports.jobs)))


@api.operation("DeleteInferenceJobs")
def delete_inference_jobs(call: Call) -> Answer:
    """Delete jobs."""
    inferences.delete(call.body.inference_id_list, caller=call.caller, world=world())
    return Answer(204)


@api.operation("CancelInferenceJob")
def cancel_inference_job(call: Call) -> Answer:
    """Cancel a job."""
    job = inferences.cancel(call.path["id"], now=now(), caller=call.caller, world=world())
    cancelled = bodies.CancelledInference(InferenceJobId=job.id, status=job.status)
    return Answer(200, cancelled, message="inference cancelled")


def created(job: Inference) -> bodies.CreatedInference:
    """Return a new job with the link for its parameters."""
    objects = wiring.running().taking.objects
    return bodies.CreatedInference(
        inference=bodies.NewInference(
            id=job.id,
            type=job.task,
            api_params_s3_location=objects.uri(job.params_key),
            api_params_s3_upload_url=objects.upload_url(job.params_key),
            models=tuple(map(_used, job.models)),
            workflow=job.workflow or None,
        )
    )


def _used(model: Model) -> bodies.UsedModel:
    return bodies.UsedModel(id=model.id, name=(model.name,), type=model.type)


def started(job: Inference) -> Answer:
    """Say that a job runs; a real-time one has come to its end already."""
    if job.kind == "Real-time" and job.is_finished:
        return Answer(200, detail(job))
    running = bodies.RunningInference(
        inference_id=job.id,
        status=job.status,
        endpoint_name=job.runner.name,
        output_path=job.sent.output if job.sent else "",
    )
    told = bodies.StartedInference(InferenceJobId=job.id, status=job.status, inference=running)
    return Answer(202, told, message="inference started")


def detail(job: Inference) -> bodies.InferenceDetail:
    """Return a job with links to its results."""
    objects = wiring.running().taking.objects
    is_done = job.status == "succeeded"
    return bodies.InferenceDetail(
        **row(job, objects),
        img_presigned_urls=tuple(objects.download_url(job.image_key(each)) for each in job.images),
        output_presigned_urls=(objects.download_url(job.output_key),) if is_done else (),
    )


def row(job: Inference, objects: Objects) -> dict[str, Any]:
    """Return the members of a job as it is listed."""
    used: dict[str, list[str]] = {}
    for each in job.models:
        used.setdefault(each.type, []).append(each.name)
    params = bodies.InferenceParams(
        input_body_s3=objects.uri(job.input_key if job.started else job.params_key),
        sagemaker_inference_endpoint_id=job.runner.id,
        sagemaker_inference_endpoint_name=job.runner.name,
        sagemaker_inference_instance_type=job.runner.instance_type,
        output_path=job.sent.output if job.sent else None,
        more={"used_models": used},
    )
    extras = {"error": job.error, "workflow": job.workflow}
    return {
        "InferenceJobId": job.id,
        "inference_type": job.kind,
        "taskType": job.task,
        "status": job.status,
        "owner_group_or_role": (job.user,),
        "image_names": job.images,
        "createTime": job.created,
        "startTime": job.started or job.created,
        "completeTime": job.completed or None,
        "params": params,
        "more": {name: value for name, value in extras.items() if value},
    }
