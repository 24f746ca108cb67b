"""InvokeEndpointAsync: a request is checked, written down and put into its endpoint's backlog."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.sagemaker import backlogs, live
from atelier.cloud.services.sagemaker.failures import RuntimeFailure, invalid, unsupported
from atelier.cloud.services.sagemaker.service import endpoints
from atelier.cloud.services.wire import Response
from atelier.cloud.store import Record

VENDOR = "x-amzn-sagemaker-"
HEADERS = {
    "content-type": "ContentType",
    "accept": "Accept",
    "custom-attributes": "CustomAttributes",
    "inference-id": "InferenceId",
    "inputlocation": "InputLocation",
    "requestttlseconds": "RequestTTLSeconds",
    "invocationtimeoutseconds": "InvocationTimeoutSeconds",
}
"""The headers of a request, behind their common prefix, and the members that they stand for."""

LIMITS = {"InferenceId": 64}
LONGEST = 1024
TTL = (60, 21600, 21600)
TIMEOUT = (1, 3600, 900)
"""Least, most and default seconds."""

NOT_READY = ("Creating", "Failed", "Deleting")


def accept(cloud: Cloud, name: str, headers: Mapping[str, str], body: bytes) -> Response:
    """Take a request for an asynchronous endpoint; its answer will be an object in S3."""
    request = _request(headers, body)
    ttl = min(_seconds(request, "RequestTTLSeconds", TTL), live.of(cloud).settings.request_ttl_limit)
    timeout = _seconds(request, "InvocationTimeoutSeconds", TIMEOUT)
    record = _record(name, request, _deployment(cloud, name), ttl, timeout)
    backlogs.of(cloud, name).add(record)
    answered = {"Content-Type": "application/json", "X-Amzn-SageMaker-OutputLocation": record["Output"]}
    if record["Failure"]:
        answered["X-Amzn-SageMaker-FailureLocation"] = record["Failure"]
    return 202, answered, json.dumps({"InferenceId": record["InferenceId"]}).encode()


def _request(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    request: dict[str, str] = {}
    for header, value in headers.items():
        if not header.startswith(VENDOR):
            continue
        member = HEADERS.get(header.removeprefix(VENDOR))
        if member is None:
            raise unsupported(f"InvokeEndpointAsync: {header}")
        if not 0 < len(value) <= LIMITS.get(member, LONGEST):
            raise invalid(f"{member}: between 1 and {LIMITS.get(member, LONGEST)} characters are accepted")
        if not value.isascii() or not value.isprintable():
            raise invalid(f"{member}: only printable ASCII characters are accepted")
        request[member] = value
    if body:
        raise unsupported("InvokeEndpointAsync with its payload in the body instead of InputLocation")
    _check_location(request.get("InputLocation"))
    return request


def _check_location(location: str | None) -> None:
    if location is None:
        raise invalid("InputLocation is required")
    scheme, _, rest = location.partition("://")
    if scheme == "https":
        raise unsupported("an InputLocation other than s3://bucket/key")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or not key:
        raise invalid(f"InputLocation {location} is not of the form s3://bucket/key")


def _deployment(cloud: Cloud, name: str) -> dict[str, Any]:
    account, record = cloud.account, endpoints(cloud).get(name)
    if record is None:
        raise invalid(f"Endpoint {name} of account {account} not found.")
    if record["EndpointStatus"] in NOT_READY or "deployment" not in record:
        raise invalid(f"Endpoint {name} of account {account} is {record['EndpointStatus']}, not InService.")
    deployment: dict[str, Any] = record["deployment"]
    if "AsyncInferenceConfig" not in deployment:
        raise invalid(f"Endpoint {name} of account {account} does not support this inference type.")
    if live.of(cloud).ending.is_set():
        raise RuntimeFailure(503, "ServiceUnavailable", "the local cloud is going down")
    return deployment


def _record(
    name: str, request: Mapping[str, str], deployment: dict[str, Any], ttl: float, timeout: float
) -> Record:
    now, place = time.time(), str(uuid.uuid4())
    output = deployment["AsyncInferenceConfig"]["OutputConfig"]
    failures = output.get("S3FailurePath")
    return {
        "Id": place,
        "Endpoint": name,
        "InferenceId": request.get("InferenceId") or str(uuid.uuid4()),
        "Input": request["InputLocation"],
        "Output": f"{output['S3OutputPath'].rstrip('/')}/{place}.out",
        "Failure": f"{failures.rstrip('/')}/{place}-error.out" if failures else None,
        "ContentType": request.get("ContentType"),
        "Accept": request.get("Accept"),
        "CustomAttributes": request.get("CustomAttributes"),
        "Timeout": timeout,
        "Received": now,
        "Expires": now + ttl,
        "Attempts": 0,
    }


def _seconds(request: Mapping[str, str], member: str, range_: tuple[int, int, int]) -> int:
    least, most, default = range_
    text = request.get(member, str(default))
    if not text.isdigit() or not least <= int(text) <= most:
        raise invalid(f"{member}: a whole number from {least} to {most} is accepted, not {text}")
    return int(text)
