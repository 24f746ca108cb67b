"""Step Functions: tasks of our services, and every task within its state machine's role."""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from atelier.cloud.gateway.hooks import policies, state
from atelier.cloud.gateway.hooks.private import replace, use

SFN = "services.stepfunctions"
Task = Callable[[str, Any], Any]
"""(role ARN, the state's parameters) -> the state's result; raises `Failed`."""
SdkCall = Callable[[str, str, Any], Any]
"""(role ARN, the action as the state names it, the parameters) -> the result; raises `Failed`."""


class Failed(Exception):
    """A task's failure, as the state machine sees it."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(cause)
        self.error = error
        self.cause = cause


_execution: contextvars.ContextVar[str] = contextvars.ContextVar("execution", default="")
_role: contextvars.ContextVar[str | None] = contextvars.ContextVar("state_machine_role", default=None)
_given_up: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("given_up", default=None)
_sdk_service: contextvars.ContextVar[str] = contextvars.ContextVar("sdk_service", default="")


def install(region: str, integrations: Mapping[str, Task], sdk: Mapping[str, SdkCall]) -> None:
    """Add our *integrations* and ``aws-sdk`` services, and check the role before each of ministack's own."""
    replace(SFN, "_run_execution", "exec_arn", by=_remember_role)
    ours = functools.partial(_ours, integrations, sdk)
    allowed = functools.partial(_check, region)
    replace(
        SFN,
        "_invoke_resource",
        "resource",
        "input_data",
        by=lambda original: _invoke(original, ours, allowed),
    )
    replace(
        SFN,
        "_invoke_with_callback",
        *("resource", "input_data", "token", "state_def"),
        by=lambda original: _invoke_with_callback(original, integrations, sdk, allowed),
    )
    replace(
        "app",
        "call_service_handler_sync",
        *("handler", "method", "path", "headers", "body", "query_params", "timeout"),
        by=lambda original: _call_within_role(original, region),
    )
    replace(SFN, "_invoke_resource_with_timeout", "resource", "input_data", "timeout", by=_tell_of_timeout)
    use(SFN, "_ExecutionError", "error", "cause")
    replace(SFN, "_start_execution", "data", by=_idempotent_start)
    use(SFN, "_prefix_sdk_error", "service_name", "error_code")


def _remember_role(original: Callable[[str], None]) -> Callable[[str], None]:
    executions = use(SFN, "_executions", checked=False)
    machines = use(SFN, "_state_machines", checked=False)

    def run(exec_arn: str) -> None:
        execution = executions.get(exec_arn) or {}
        machine = machines.get(execution.get("stateMachineArn", "")) or {}
        token, place = _role.set(machine.get("roleArn")), _execution.set(exec_arn)
        try:
            original(exec_arn)
        finally:
            _role.reset(token)
            _execution.reset(place)
            state.changed("stepfunctions")

    return run


def is_running() -> bool:
    """Say whether the execution of this context goes on, and still waits for the task of this context."""
    execution = use(SFN, "_executions", checked=False).get(_execution.get()) or {}
    given_up = _given_up.get()
    return execution.get("status") == "RUNNING" and not (given_up and given_up.is_set())


def _tell_of_timeout(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let the thread of a task whose time is up know that it works for nobody."""

    def invoke(resource: str, input_data: Any, timeout: float) -> Any:
        given_up = threading.Event()
        token = _given_up.set(given_up)
        try:
            return original(resource, input_data, timeout)
        except Exception:
            given_up.set()
            raise
        finally:
            _given_up.reset(token)

    return invoke


def _idempotent_start(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Answer a second start of the same name and input with the execution that runs."""
    executions = use(SFN, "_executions", checked=False)
    machines = use(SFN, "_state_machines", checked=False)
    answer = use("core.responses", "json_response", "data", "status", "content_type")

    def start(data: Any) -> Any:
        machine = data.get("stateMachineArn", "")
        name = (machines.get(machine) or {}).get("name")
        running = executions.get(
            f"{machine.rpartition(':stateMachine:')[0]}:execution:{name}:{data.get('name')}"
        )
        if running and running["status"] == "RUNNING" and running["input"] == data.get("input", "{}"):
            return answer({"executionArn": running["executionArn"], "startDate": running["startDate"]})
        return original(data)

    return start


def _error(name: str, cause: str) -> Exception:
    error: Exception = use(SFN, "_ExecutionError", checked=False)(name, cause)
    return error


def _acting_role() -> str:
    role = _role.get()
    if not role:
        raise _error("States.Runtime", "the state machine has no role")
    return role


def _invoke(
    original: Task, ours: Callable[[str, Any], Any], allowed: Callable[[str, str, Any], None]
) -> Task:
    def invoke(resource: str, input_data: Any) -> Any:
        role = _acting_role()
        state.changed("stepfunctions")
        if task := ours(role, resource):
            return _run(task, input_data)
        allowed(role, resource, input_data)
        token = _sdk_service.set(resource.split(":")[-2] if ":aws-sdk:" in resource else "")
        try:
            return original(resource, input_data)
        finally:
            _sdk_service.reset(token)

    return invoke


def _ours(integrations: Mapping[str, Task], sdk: Mapping[str, SdkCall], role: str, resource: str) -> Any:
    name = resource.removeprefix("arn:aws:states:::")
    if name in integrations:
        return functools.partial(integrations[name], role)
    parts = name.split(":")
    if parts[0] == "aws-sdk" and len(parts) == 3 and parts[1] in sdk:
        return functools.partial(sdk[parts[1]], role, parts[2])
    return None


def _run(task: Callable[[Any], Any], parameters: Any) -> Any:
    try:
        return task(parameters)
    except Failed as failure:
        raise _error(failure.error, failure.cause) from failure


def _invoke_with_callback(
    original: Callable[..., Any],
    integrations: Mapping[str, Task],
    sdk: Mapping[str, SdkCall],
    allowed: Callable[[str, str, Any], None],
) -> Callable[..., Any]:
    def invoke(resource: str, input_data: Any, token: str, state_def: Any) -> Any:
        role, clean = _acting_role(), resource.removesuffix(".waitForTaskToken")
        if _ours(integrations, sdk, role, clean):
            raise _error("States.Runtime", f"{resource} is not part of the local cloud")
        allowed(role, clean, input_data)
        return original(resource, input_data, token, state_def)

    return invoke


def _check(region: str, role: str, resource: str, parameters: Any) -> None:
    """Raise what AWS raises when the role may not do this; `_call_within_role` checks ``aws-sdk`` calls."""
    if resource.startswith("arn:aws:states:::aws-sdk:"):
        return
    found = _needs(role.split(":")[4], region, resource, parameters if isinstance(parameters, dict) else {})
    if found is None:
        return
    action, target, error = found
    if not policies.trusts(role, "states.amazonaws.com", region):
        raise _error(error, f"states.amazonaws.com is not allowed to assume {role}")
    if not policies.allows_role(role, action, target, region):
        raise _error(error, denial(role, action, target))


def denial(role: str, action: str, target: str) -> str:
    """Return the words in which AWS denies a role's action."""
    account, name = role.split(":")[4], role.rsplit("/", 1)[-1]
    who = f"arn:aws:sts::{account}:assumed-role/{name}/states"
    return (
        f"User: {who} is not authorized to perform: {action} on resource: {target} because no identity-based "
        f"policy allows the {action} action"
    )


def _needs(
    account: str, region: str, resource: str, parameters: Mapping[str, Any]
) -> tuple[str, str, str] | None:
    """Return the action, the resource and the error's name that an optimised integration is checked by."""

    def arn(service: str, rest: str) -> str:
        return f"arn:aws:{service}:{region}:{account}:{rest}"

    def given(*names: str) -> str:
        return next((str(parameters[name]) for name in names if parameters.get(name)), "*")

    name = resource.removeprefix("arn:aws:states:::").partition(".")[0]
    service, _, operation = name.partition(":")
    action = f"{service}:{operation[:1].upper()}{operation[1:]}"
    if service == "lambda" or ":lambda:" in resource:
        function = given("FunctionName") if service == "lambda" else resource
        target = (
            function if function.startswith("arn:") else arn("lambda", f"function:{function.split(':')[-1]}")
        )
        return "lambda:InvokeFunction", target, "Lambda.AWSLambdaException"
    targets: Mapping[str, tuple[str, str]] = {
        "dynamodb": (
            arn("dynamodb", f"table/{given('TableName').split('/')[-1]}"),
            "DynamoDB.AccessDeniedException",
        ),
        "sqs": (arn("sqs", given("QueueUrl").split("/")[-1]), "SQS.AmazonSQSException"),
        "sns": (given("TopicArn", "TargetArn"), "SNS.AuthorizationErrorException"),
        "states": (given("StateMachineArn"), "StepFunctions.AWSStepFunctionsException"),
        "events": (arn("events", "event-bus/default"), "EventBridge.AccessDeniedException"),
    }
    if service not in targets:
        return None
    target, error = targets[service]
    return action, target, error


def _call_within_role(original: Callable[..., Any], region: str) -> Callable[..., Any]:
    """Check ``aws-sdk`` calls to ministack's services as the same call over HTTP would be."""
    refused_as = use(SFN, "_prefix_sdk_error", "service_name", "error_code")
    needs = _needs_of_request(region)

    def call(
        handler: Any,
        method: str,
        path: str,
        headers: Any,
        body: Any,
        query: Any,
        timeout: float | None = None,
    ) -> Any:
        if role := _role.get():
            raw = body.encode() if isinstance(body, str) else body
            for action, target in needs(role.split(":")[4], method, path, headers, raw, query):
                if not action or not policies.allows_role(role, action, target, region):
                    prefix = refused_as(_sdk_service.get(), "Exception").partition(".")[0]
                    raise _error(f"{prefix}.{prefix}Exception", denial(role, action or "this", target))
        return original(handler, method, path, headers, body, query, timeout)

    return call


def _needs_of_request(region: str) -> Callable[..., Iterator[tuple[str | None, str]]]:
    """Return what tells the actions and resources that a request must be allowed."""
    form = ("method", "path", "headers", "body", "query_params")
    detect = use("core.router", "detect_service", "method", "path", "headers", "query_params")
    action_of = use("core.iam_actions", "extract_iam_action", "service", *form)
    resource_of = use("core.iam_actions", "extract_resource_arn", "service", *form, "region", "account_id")
    more_of = use("core.iam_actions", "s3_additional_checks", *form)

    def needs(account: str, *request: Any) -> Iterator[tuple[str | None, str]]:
        method, path, headers, _, query = request
        service = detect(method, path, headers, query)
        yield action_of(service, *request), resource_of(service, *request, region, account)
        if service == "s3":
            yield from more_of(*request)

    return needs
