"""Results: what SageMaker says of asynchronous requests, made into pictures and the end of a job.

A notification may come twice, late, or after another. It is only ever an invitation to look: the job says
whether anything is to be done, and its end is one conditional write. Pictures are stored before that write,
under names that follow from the job, so that a function killed between the two does the same again; where the
write is lost to a cancellation, what was stored is deleted.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from atelier.contract import keys
from atelier.lambdas.domain.containers import said
from atelier.lambdas.domain.inferences import Inference, Result, results_folder
from atelier.lambdas.errors import Busy, Failed, TooLarge
from atelier.lambdas.ports.inferences import Inferences, Objects
from atelier.lambdas.services.middleware.access import settled

LARGEST_ANSWER = 64 * 1024 * 1024
LONGEST_REASON = 64 * 1024
MOST_IMAGES = 128
PNG = b"\x89PNG\r\n\x1a\n"
JSON, IMAGE = "application/json", "image/png"


def take(result: Result, *, now: str, jobs: Inferences, objects: Objects) -> None:
    """Bring the job of a notification to its end, unless it has come to one."""
    job = settled(partial(_take, result, now, jobs, objects))
    sent = job and job.sent
    uris = {result.output, result.failure, *((sent.output, sent.failure) if sent else ())}
    objects.delete(*sorted(key for each in uris if (key := _key(each, objects))))


def _take(result: Result, now: str, jobs: Inferences, objects: Objects) -> Inference | None:
    job = jobs.get(result.id)
    if job is None or job.status in {"cancelled", "failed"}:
        objects.delete_folder(results_folder(result.id))
    elif job.status == "created":
        raise Busy(f"inference {job.id} is not known to run yet")
    elif job.status == "inprogress":
        jobs.save(finished(job, result, now=now, objects=objects), was=job)
    return job


def finished(job: Inference, result: Result, *, now: str, objects: Objects) -> Inference:
    """Return a job at its end, its pictures stored."""
    if not result.output:
        failure = result.failure or (job.sent.failure if job.sent else "")
        return job.failed(_reason(failure, objects) or result.reason or "the endpoint gave no reason", now)
    try:
        return completed(job, _answer(result, objects), now=now, objects=objects)
    except Failed as error:
        return job.failed(str(error), now)


def completed(job: Inference, answer: bytes, *, now: str, objects: Objects) -> Inference:
    """Store the pictures of a container's answer and return the job with them; raise Failed for none."""
    document = _document(answer)
    pictures = {f"image_{number}.png": each for number, each in enumerate(_pictures(document))}
    for name, picture in pictures.items():
        objects.write(job.image_key(name), picture, IMAGE)
    said = {name: document[name] for name in ("parameters", "info") if name in document}
    objects.write(job.output_key, json.dumps(said).encode(), JSON)
    return job.to("succeeded", completed=now, images=tuple(pictures))


def _answer(result: Result, objects: Objects) -> bytes:
    key = _key(result.output, objects)
    try:
        answer = objects.read(key, LARGEST_ANSWER) if key else None
    except TooLarge as error:
        raise Failed("the endpoint's answer is too large") from error
    if answer is None:
        raise Failed("the endpoint's answer is not there")
    return answer


def _document(answer: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise Failed("the endpoint's answer is not JSON") from error
    if not isinstance(document, dict):
        raise Failed("the endpoint's answer is not an object")
    return document


def _pictures(document: Mapping[str, Any]) -> list[bytes]:
    """Return the pictures of an answer: several, or the one of what works on a single picture."""
    found = document.get("images") or [document.get("image")]
    if not isinstance(found, list) or len(found) > MOST_IMAGES:
        raise Failed(f"the endpoint's answer must have 1 to {MOST_IMAGES} images")
    return [_picture(each) for each in found]


def _picture(encoded: Any) -> bytes:
    try:
        picture = base64.b64decode(str(encoded or "").rpartition(",")[2], validate=True)
    except binascii.Error as error:
        raise Failed("the endpoint's answer has an image that is not base64") from error
    if not picture.startswith(PNG):
        raise Failed("the endpoint's answer has an image that is not a PNG")
    return picture


def _reason(failure: str, objects: Objects) -> str:
    """Return what the container left at *failure*: SageMaker's own reason says little of it."""
    key = _key(failure, objects)
    try:
        words = (objects.read(key, LONGEST_REASON) if key else None) or b""
    except TooLarge:
        return ""
    return said(words.decode(errors="replace"))


def _key(uri: str, objects: Objects) -> str | None:
    """Return where one of SageMaker's own objects lies; None when it is none of those."""
    key = objects.key(uri)
    return key if key and key.startswith((keys.ASYNC_OUTPUT, keys.ASYNC_FAILURES)) else None
