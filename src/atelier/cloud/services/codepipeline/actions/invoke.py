"""Invoke a Lambda function with a job, and wait for what it reports of that job.

AWS invokes asynchronously. Here the call is made synchronously in the action's thread, for one reason: a
function that ends with an error without having reported would otherwise leave the action waiting for a day.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

from atelier.cloud.context import Credentials
from atelier.cloud.services.codepipeline import jobs
from atelier.cloud.services.codepipeline.job import ActionFailed, Job

LONGEST_CALL = 910


def perform(job: Job) -> NoReturn:
    """Call the function until a report of its job settles the action.

    The phases in the action's memory: ``call`` a function is being called (a cloud that is started again
    calls it again with the same job, as Lambda does when an asynchronous call was lost), ``wait`` it has
    answered but not reported, ``continue`` it asked to be called again.
    """
    while True:
        match job.memory.get("phase"):
            case None:
                _open_job(job, None)
            case "call":
                _call(job)
            case "wait":
                job.pause()
            case "continue":
                _continue(job)


def _open_job(job: Job, continuation: str | None) -> None:
    job_id = str(uuid.uuid4())
    job.outputs()
    jobs.keep(job.cloud.store, job_id, job.run.id, job.id)
    job.remember(job=job_id, phase="call", continuation=continuation)


def _continue(job: Job) -> None:
    left = (datetime.fromisoformat(job.memory["due"]) - job.engine.settings.now()).total_seconds()
    if left > 0:
        job.pause(left)
        return
    _open_job(job, job.memory["continuation"])


def _call(job: Job) -> None:
    memory, client = (
        job.memory,
        job.client("lambda", read_timeout=LONGEST_CALL, retries={"total_max_attempts": 1}),
    )
    event = {"CodePipeline.job": _event(job, memory)}
    answer = client.invoke(FunctionName=job.configuration["FunctionName"], Payload=json.dumps(event).encode())
    with answer["Payload"] as body:
        payload = body.read()
    request_id = answer.get("ResponseMetadata", {}).get("RequestId", "")
    with job.engine.changed:
        reported = job.memory.get("job") != memory["job"] or job.memory.get("phase") != "call"
        if reported:  # an error after the report changes nothing, as on AWS
            return
        if "FunctionError" in answer:
            raise ActionFailed(_error(payload), summary="The function failed without reporting")
        job.remember(phase="wait")
        if not job.action.external_id:
            job.note(external_id=request_id)


def _event(job: Job, memory: Mapping[str, Any]) -> dict[str, Any]:
    return jobs.details(
        job_id=memory["job"],
        account=job.cloud.account,
        action=job.action,
        credentials=_artifact_credentials(job),
    )


def _artifact_credentials(job: Job) -> Credentials:
    """Return credentials for the artifact bucket only: the function must not get all that the role may do."""
    arn = f"arn:aws:s3:::{job.bucket}"
    actions = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:GetBucketLocation"]
    allowed = {"Effect": "Allow", "Action": actions, "Resource": [arn, f"{arn}/*"]}
    return job.assume({"Version": "2012-10-17", "Statement": [allowed]})


def _error(payload: bytes) -> str:
    try:
        error = json.loads(payload)
        return f"{error['errorType']}: {error['errorMessage']}"
    except (ValueError, KeyError, TypeError):
        return payload.decode(errors="replace") or "The function failed"
