"""SageMaker Runtime: requests to endpoints' containers."""

from __future__ import annotations

import asyncio
import contextvars
import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from atelier.cloud.context import Cloud
from atelier.cloud.services.sagemaker import live, submission
from atelier.cloud.services.sagemaker.failures import RuntimeFailure, invalid, model_said, unsupported
from atelier.cloud.services.sagemaker.fleet import Closed, Fleet
from atelier.cloud.services.sagemaker.service import arn, endpoints
from atelier.cloud.services.wire import Response

PATH = re.compile(r"/endpoints/([^/]+)/(invocations|async-invocations|invocations-response-stream)")
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
BODY_LIMIT = 6 * 1024 * 1024
HEADER_LIMIT = 1024
VENDOR = "x-amzn-sagemaker-"
FORWARDED = ("content-type", "accept", f"{VENDOR}custom-attributes", f"{VENDOR}inference-id")
ACCEPTED = (*FORWARDED, f"{VENDOR}target-variant")
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency"
    " metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)


@dataclass(frozen=True)
class Answer:
    """What a container said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def answer(
    cloud: Cloud, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> Response | None:
    """Answer InvokeEndpoint; any other path is not of this service."""
    match = PATH.fullmatch(path.partition("?")[0])
    if match is None or method != "POST":
        return None
    try:
        name, kind = unquote(match.group(1)), match.group(2)
        lower = {key.lower(): value for key, value in headers.items()}
        _authorise(cloud, kind, name)
        if kind == "async-invocations":
            return await asyncio.to_thread(submission.accept, cloud, name, lower, body)
        _check(kind, name, lower, body)
        return await _invoke(cloud, name, lower, body)
    except RuntimeFailure as failure:
        document = {"Message": str(failure), "message": str(failure), **failure.members}
        reply = {"Content-Type": "application/json", "x-amzn-errortype": failure.code}
        return failure.status, reply, json.dumps(document).encode()


def _authorise(cloud: Cloud, kind: str, name: str) -> None:
    if not NAME.fullmatch(name):
        raise invalid(f"{name!r} is not the name of an endpoint")
    caller, resource = cloud.identity.caller(), arn(cloud, "endpoint", name)
    action = "sagemaker:InvokeEndpointAsync" if kind == "async-invocations" else "sagemaker:InvokeEndpoint"
    if not cloud.identity.allows(caller, action, resource):
        message = f"User: {caller.arn} is not authorized to perform: {action} on resource: {resource}"
        raise RuntimeFailure(403, "AccessDeniedException", message)


def _check(kind: str, name: str, headers: Mapping[str, str], body: bytes) -> None:
    if kind != "invocations":
        raise unsupported("InvokeEndpointWithResponseStream")
    if len(body) > BODY_LIMIT:
        raise RuntimeFailure(
            413, "ValidationError", f"Request body has {len(body)} bytes; at most {BODY_LIMIT} are accepted"
        )
    for key, value in headers.items():
        if key.startswith(VENDOR) and key not in ACCEPTED:
            raise RuntimeFailure(400, "ValidationError", f"{key} is not part of the local cloud")
        if key in ACCEPTED and len(value) > HEADER_LIMIT:
            raise RuntimeFailure(400, "ValidationError", f"{key} is longer than {HEADER_LIMIT} characters")


async def _invoke(cloud: Cloud, name: str, headers: Mapping[str, str], body: bytes) -> Response:
    state = live.of(cloud)
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    work = loop.run_in_executor(state.callers, lambda: context.run(_ask, cloud, state, name, headers, body))
    fleet, answer = await work
    state.invocations[name] += 1
    variant = {"x-Amzn-Invoked-Production-Variant": fleet.variant}
    if answer.status >= 400:
        raise _model_error(fleet, answer.status, answer.body.decode(errors="replace"))
    if len(answer.body) > BODY_LIMIT:
        raise _model_error(fleet, 0, f"the response is longer than {BODY_LIMIT} bytes")
    return answer.status, {**variant, **answer.headers}, answer.body


def _ask(
    cloud: Cloud, state: live.Live, name: str, headers: Mapping[str, str], body: bytes
) -> tuple[Fleet, Answer]:
    """Send the request to the fleet that has the traffic now; a fleet that closes meanwhile hands it on."""
    while True:
        fleet = _fleet(cloud, state, name, headers.get(f"{VENDOR}target-variant"))
        try:
            with fleet.request() as port:
                if port is None:
                    raise RuntimeFailure(
                        503, "ServiceUnavailable", f"the container of endpoint {name} is being restarted"
                    )
                return fleet, _send(fleet, port, headers, body, state.settings.invocation_timeout)
        except Closed:
            continue


def _fleet(cloud: Cloud, state: live.Live, name: str, variant: str | None) -> Fleet:
    fleet = state.fleets.get(name)
    if fleet is not None:
        if variant not in (None, fleet.variant):
            raise RuntimeFailure(400, "ValidationError", f"endpoint {name} has no variant {variant}")
        if fleet.is_asynchronous:
            raise invalid(f"Endpoint {name} of account {cloud.account} does not support this inference type.")
        return fleet
    if state.ending.is_set():
        raise RuntimeFailure(503, "ServiceUnavailable", "the local cloud is going down")
    record = endpoints(cloud).get(name)
    account = cloud.account
    if record is None:
        raise RuntimeFailure(400, "ValidationError", f"Endpoint {name} of account {account} not found.")
    if record["EndpointStatus"] == "SystemUpdating":
        raise RuntimeFailure(503, "ServiceUnavailable", f"endpoint {name} is being started again")
    raise RuntimeFailure(
        400,
        "ValidationError",
        f"Endpoint {name} of account {account} is {record['EndpointStatus']}, not InService.",
    )


def _send(fleet: Fleet, port: int, headers: Mapping[str, str], body: bytes, timeout: float) -> Answer:
    """Ask the container once, over a connection of its own: none that it closed meanwhile can fail."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    sent = {key: headers[key] for key in FORWARDED if key in headers}
    try:
        connection.request("POST", "/invocations", body, {**sent, "Connection": "close"})
        response = connection.getresponse()
        return Answer(response.status, _returned(response), response.read(BODY_LIMIT + 1))
    except ConnectionRefusedError as error:
        raise RuntimeFailure(
            503, "ServiceUnavailable", "the container does not accept connections"
        ) from error
    except TimeoutError as error:
        raise _model_error(fleet, 0, TIMED_OUT) from error
    except (OSError, http.client.HTTPException) as error:
        raise _model_error(fleet, 0, f"the connection broke: {type(error).__name__}") from error
    finally:
        connection.close()


def _returned(response: http.client.HTTPResponse) -> dict[str, str]:
    # In small letters: ministack takes a JSON body under "Content-Type" for an answer of SageMaker's own, and
    # would call it application/x-amz-json-1.1.
    headers = {"content-type": response.getheader("Content-Type", "application/octet-stream")}
    attributes = response.getheader("X-Amzn-SageMaker-Custom-Attributes")
    return headers if attributes is None else {**headers, "X-Amzn-SageMaker-Custom-Attributes": attributes}


def _model_error(fleet: Fleet, status: int, message: str) -> RuntimeFailure:
    log = fleet.log_stream_arn()
    return RuntimeFailure(
        424, "ModelError", model_said(status, message, log),
        OriginalStatusCode=status, OriginalMessage=message, LogStreamArn=log,
    )  # fmt: skip
