"""Inferences: made, started, shown, cancelled and deleted.

A start is one conditional write, and only its winner calls the endpoint. What follows can be interrupted
anywhere: a job that is in progress, and of which it is not known where its answer will lie, may or may not
have reached its endpoint; the reconciler sends it again, and of two answers the first one counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from atelier.contract.api.inferences import TASK_TYPES, CreateInferenceJobRequest
from atelier.contract.values import Value
from atelier.lambdas.domain.accounts import Caller
from atelier.lambdas.domain.endpoints import Endpoint
from atelier.lambdas.domain.inferences import Inference, Model, Runner
from atelier.lambdas.domain.pages import Page, cursor
from atelier.lambdas.errors import Busy, Conflict, Failed, Invalid, NotFound, Refused, TooLarge
from atelier.lambdas.ports.endpoints import Endpoints
from atelier.lambdas.ports.inferences import Checkpoints, Inferences, Invocations, Objects
from atelier.lambdas.services.middleware import payloads, results
from atelier.lambdas.services.middleware.access import settled

LARGEST_PARAMS = 20 * 1024 * 1024
LARGEST_REQUEST = 6 * 1024 * 1024
"""Bytes that a real-time endpoint takes."""

MOST_MODELS = 50
EVERYBODYS = "inference:all"


class World(Value):
    """Where jobs are kept and run."""

    jobs: Inferences
    objects: Objects
    invocations: Invocations
    endpoints: Endpoints


def create(
    request: CreateInferenceJobRequest,
    *,
    id: str,
    now: str,
    caller: Caller,
    world: World,
    checkpoints: Checkpoints,
) -> Inference:
    """Make a job; start it at once when its parameters are there."""
    if request.task_type not in TASK_TYPES:
        raise Invalid(f"task type {request.task_type[:100]} should be in {list(TASK_TYPES)}")
    given = request.payload_string
    params = None if given is None else payloads.read(given, what="payload_string")
    runner = _choose(request, id, caller, world.endpoints)
    job = Inference(
        id=id,
        task=request.task_type,
        kind=request.inference_type,
        user=caller.name,
        created=now,
        runner=Runner(id=runner.id, name=runner.name, instance_type=runner.instance_type),
        models=_models(request.models, caller, checkpoints),
        workflow=request.workflow or "",
    )
    kept = world.jobs.add(job)
    if params is None:
        return kept
    try:
        return _run(kept, params, now=now, world=world)
    except Busy:  # the client asks again, and that makes another job
        _erase(kept, world)
        raise


def _choose(request: CreateInferenceJobRequest, id: str, caller: Caller, endpoints: Endpoints) -> Endpoint:
    """Return the endpoint that was named, or one of those that the caller may use; jobs spread over them."""
    name, kind, roles = request.sagemaker_endpoint_name, request.inference_type, caller.user.roles
    found = [endpoints.get(name)] if name else endpoints.all()
    usable = [each for each in found if each and _is_usable(each, kind, roles)]
    if not usable:
        which = f'endpoint "{name}" is not among the' if name else "no"
        raise Invalid(f'{which} available {kind} endpoints for user "{caller.name}"')
    able = [each for each in usable if each.serves(request.task_type)]
    if not able:
        raise Invalid(f"endpoint {usable[0].name} does not support task type {request.task_type}")
    return able[int(id.replace("-", ""), 16) % len(able)]


def _is_usable(endpoint: Endpoint, kind: str, roles: Sequence[str]) -> bool:
    return endpoint.is_serving and endpoint.kind == kind and endpoint.is_for(roles)


def _models(
    wanted: Mapping[str, Sequence[str]], caller: Caller, checkpoints: Checkpoints
) -> tuple[Model, ...]:
    named = [(type, name) for type, names in wanted.items() for name in dict.fromkeys(names)]
    if len(named) > MOST_MODELS:
        raise Invalid(f"models: at most {MOST_MODELS} in all, found {len(named)}")
    return tuple(_model(type, name, caller, checkpoints) for type, name in named)


def _model(type: str, name: str, caller: Caller, checkpoints: Checkpoints) -> Model:
    found = checkpoints.find(type, name, caller)
    if found is None:
        raise Invalid(f"checkpoint with name {name} not found")
    return found


def start(id: str, *, now: str, caller: Caller, world: World) -> Inference:
    """Start a job whose parameters were uploaded; one that runs already is left alone."""
    job = _visible(id, caller, world.jobs)
    if job is None:
        raise Invalid(f"InferenceJobId {id} not found")
    if job.status == "inprogress":
        return job
    job.to("inprogress")
    try:
        body = world.objects.read(job.params_key, LARGEST_PARAMS)
    except TooLarge as error:
        raise Invalid(f"the parameters have more than {LARGEST_PARAMS} bytes") from error
    if body is None:
        raise Invalid(f"the parameters of inference {id} are not uploaded")
    return _run(job, payloads.read(body, what="the uploaded parameters"), now=now, world=world)


def _run(job: Inference, params: Mapping[str, Any], *, now: str, world: World) -> Inference:
    """Put the endpoint's input in place, become the one who starts the job, and call the endpoint."""
    body = json.dumps(job.body(params), ensure_ascii=False).encode()
    if job.kind == "Real-time" and len(body) > LARGEST_REQUEST:
        raise Invalid(f"the parameters have more than the {LARGEST_REQUEST} bytes of a Real-time request")
    world.objects.write(job.input_key, body, results.JSON)
    try:
        begun = world.jobs.save(job.to("inprogress", started=now, attempts=1), was=job)
    except Conflict:
        return _beaten(job, world)
    if job.kind == "Real-time":
        return _answered(begun, body, now=now, world=world)
    try:
        return submit(begun, now=now, world=world)
    except Busy:
        _save(begun.to("created", started=""), begun, world)
        raise


def _beaten(job: Inference, world: World) -> Inference:
    """Another request came first: join its start, or leave nothing behind for a job that is no more."""
    current = world.jobs.get(job.id)
    if current is None or current.status == "cancelled":
        world.objects.delete_folder(job.folder)
        raise Invalid(f"inference {job.id} was cancelled")
    return current


def submit(job: Inference, *, now: str, world: World) -> Inference:
    """Hand a job in progress to its asynchronous endpoint, and keep where the answer will lie.

    Raise Busy, the job as it was, when the endpoint did not take it.
    """
    uri = world.objects.uri(job.input_key)
    try:
        sent = world.invocations.submit(job.runner.name, id=job.id, input=uri)
    except Invalid as error:
        _save(job.failed(str(error), now), job, world)
        raise
    return job if sent is None else _save(replace(job, sent=sent), job, world)


def _save(job: Inference, was: Inference, world: World) -> Inference:
    """Save a job unless it has moved on; return it as it is then."""
    try:
        return world.jobs.save(job, was=was)
    except Conflict:
        return world.jobs.get(job.id) or job


def _answered(job: Inference, body: bytes, *, now: str, world: World) -> Inference:
    """Have a real-time endpoint answer, and keep the answer."""
    try:
        answer = world.invocations.answer(job.runner.name, body)
        done = results.completed(job, answer, now=now, objects=world.objects)
    except Busy:
        _save(job.to("created", started=""), job, world)
        raise
    except (Invalid, Failed) as error:
        _save(job.failed(str(error), now), job, world)
        raise
    try:
        return world.jobs.save(done, was=job)
    except Conflict as error:
        world.objects.delete_folder(job.folder)
        raise Invalid(f"inference {job.id} was cancelled") from error


def get(id: str, *, caller: Caller, jobs: Inferences) -> Inference:
    """Return a job that the caller may see."""
    job = _visible(id, caller, jobs)
    if job is None:
        raise NotFound(f"inference with id {id} not found")
    return job


def listed(
    task: str, *, limit: int, start: str | None, username: str | None, caller: Caller, jobs: Inferences
) -> Page[Inference]:
    """Return jobs of a kind, the newest first: everybody's, one user's, or one's own."""
    if not _sees_all(caller):
        if username not in {None, caller.name}:
            raise Refused(f"User {caller.name} has no permissions: ['{EVERYBODYS}']")
        username = caller.name
    after = cursor(start, of=f"{task}#{username or ''}")
    return jobs.page(task, username, limit, after)


def _sees_all(caller: Caller) -> bool:
    return caller.deployment or caller.may(EVERYBODYS)


def _visible(id: str, caller: Caller, jobs: Inferences) -> Inference | None:
    """Return a job; to those who may not see it, it is not there."""
    job = jobs.get(id)
    return job if job and (_sees_all(caller) or job.user == caller.name) else None


def cancel(id: str, *, now: str, caller: Caller, world: World) -> Inference:
    """Cancel a job that has not finished; its input goes, and an answer that comes later is discarded."""
    job = settled(partial(_cancel, id, now, caller, world.jobs))
    world.objects.delete_folder(job.folder)
    return job


def _cancel(id: str, now: str, caller: Caller, jobs: Inferences) -> Inference:
    was = get(id, caller=caller, jobs=jobs)
    if was.status == "cancelled":
        return was
    if was.is_finished:
        raise Invalid(f"inference {id} is {was.status}, cannot become cancelled")
    return jobs.save(was.to("cancelled", completed=now), was=was)


def delete(ids: Sequence[str], *, caller: Caller, world: World) -> None:
    """Delete jobs and all that belongs to them; unknown ids are fine."""
    for id in dict.fromkeys(ids):
        job = _visible(id, caller, world.jobs)
        if job is not None:
            _erase(job, world)


def _erase(job: Inference, world: World) -> None:
    world.objects.delete_folder(job.folder)
    world.jobs.remove(job.id)
