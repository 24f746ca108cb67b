"""What our plugins bring, in the form in which the hooks take it."""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from atelier.cloud.context import Caller, Cloud, Refused
from atelier.cloud.gateway.hooks import rules, stacks, workflows
from atelier.cloud.gateway.identity import GatewayIdentity, role_session
from atelier.cloud.services.plugin import EventTarget, Integration, Plugin, TaskFailed, is_wanted
from atelier.cloud.services.resources import Made, Request, ResourceType, from_cloudformation, refuse_unknown
from atelier.cloud.services.wire import Service, ServiceError

logger = logging.getLogger("atelier.cloud")

# What a rule's role must be allowed to do to a target of ours.
TARGET_ACTIONS = {
    "codepipeline": "codepipeline:StartPipelineExecution",
    "codebuild": "codebuild:StartBuild",
    "sagemaker": "sagemaker:StartPipelineExecution",
}
DELIVERIES = 3


def provisioners(
    plugins: Iterable[Plugin], cloud: Cloud, identity: GatewayIdentity
) -> Mapping[str, stacks.Provisioner]:
    """Return our CloudFormation types; each acts as whoever started the stack operation."""
    return {each.type: _provisioner(each, cloud, identity) for plugin in plugins for each in plugin.resources}


def _provisioner(resource: ResourceType, cloud: Cloud, identity: GatewayIdentity) -> stacks.Provisioner:
    def signer(key: str) -> Caller:
        found = identity.signer(key)
        if found is None:
            raise Refused("who started this stack operation has no valid credentials any more")
        return found

    def result(made: Made) -> stacks.Result:
        return made.ref, dict(made.attributes)

    def request(stack: str, logical_id: str, name: str, properties: Mapping[str, Any]) -> Request:
        refuse_unknown(resource, properties)
        return Request(stack=stack, logical_id=logical_id, properties=properties, name=name)

    def create(
        key: str, stack: str, logical_id: str, name: str, properties: Mapping[str, Any]
    ) -> stacks.Result:
        asked = request(stack, logical_id, name, properties)
        with identity.acting_as(signer(key)):
            return result(resource.create(cloud, asked))

    def update(
        key: str, stack: str, logical_id: str, name: str, ref: str, properties: Mapping[str, Any]
    ) -> stacks.Result:
        asked = request(stack, logical_id, name, properties)
        with identity.acting_as(signer(key)):
            return result(resource.update(cloud, ref, asked))

    def delete(key: str, ref: str, properties: Mapping[str, Any]) -> None:
        with identity.acting_as(signer(key)):
            resource.delete(cloud, ref, properties)

    return stacks.Provisioner(create=create, update=update, delete=delete)


def integrations(
    plugins: Iterable[Plugin], cloud: Cloud, identity: GatewayIdentity
) -> Mapping[str, workflows.Task]:
    """Return our optimised Step Functions tasks by the part behind ``arn:aws:states:::``."""
    return {
        name: functools.partial(_integrate, plugin.service, task, cloud, identity)
        for plugin in plugins
        for name, task in plugin.integrations.items()
    }


def _integrate(
    service: Service, task: Integration, cloud: Cloud, identity: GatewayIdentity, role: str, parameters: Any
) -> Any:
    prefix = sdk_name(service)
    error = f"{prefix}.{'Amazon' if prefix in {'SageMaker', 'Ecr'} else 'AWS'}{prefix}Exception"
    caller = _within(role, identity)
    is_wanted.set(workflows.is_running)
    try:
        with identity.acting_as(caller):
            return task(cloud, caller, parameters)
    except TaskFailed as failure:
        raise workflows.Failed(failure.error, failure.cause) from failure
    except (ServiceError, Refused) as refused:
        raise workflows.Failed(error, str(refused)) from refused


def sdk_calls(
    plugins: Iterable[Plugin], cloud: Cloud, identity: GatewayIdentity
) -> Mapping[str, workflows.SdkCall]:
    """Return our services by their name behind ``aws-sdk:``."""
    return {
        plugin.service.model.replace("-", ""): functools.partial(_call_sdk, plugin.service, cloud, identity)
        for plugin in plugins
    }


def _call_sdk(
    service: Service, cloud: Cloud, identity: GatewayIdentity, role: str, action: str, parameters: Any
) -> Any:
    name, prefix = action[:1].upper() + action[1:], sdk_name(service)
    try:
        with identity.acting_as(_within(role, identity)):
            request = _as_wire(service, name, parameters)
            answer = service.call(cloud, name, request)
        return _as_sdk(answer, service.shapes.operation_model(name).output_shape)
    except ServiceError as error:
        raise workflows.Failed(f"{prefix}.{_exception(service, error.code, prefix)}", str(error)) from error
    except Refused as refused:
        raise workflows.Failed(f"{prefix}.{prefix}Exception", str(refused)) from refused


def _within(role: str, identity: GatewayIdentity) -> Caller:
    if not identity.trusts(role, "states.amazonaws.com"):
        raise workflows.Failed("States.Runtime", f"states.amazonaws.com is not allowed to assume {role}")
    return role_session(role, "states")


def sdk_name(service: Service) -> str:
    """Return a service's name as the AWS SDK for Java, and so Step Functions, writes it."""
    words = re.split(r"[\s-]+", str(service.shapes.metadata["serviceId"]))
    return "".join(each.capitalize() if each.isupper() else each for each in words)


def _exception(service: Service, code: str, prefix: str) -> str:
    """Return the exception's name: what the model does not declare is the service's general one."""
    if code not in {shape.name for shape in service.shapes.error_shapes}:
        return f"{prefix}Exception"
    return code if code.endswith("Exception") else code.removesuffix("Fault") + "Exception"


def _as_wire(service: Service, action: str, parameters: Any) -> dict[str, Any]:
    if action not in service.shapes.operation_names:
        return dict(parameters)
    shape = service.shapes.operation_model(action).input_shape
    renamed: dict[str, Any] = from_cloudformation(parameters, shape, "Parameters") if shape else {}
    return renamed


def _as_sdk(value: Any, shape: Shape | None) -> Any:
    """Name members as SDKs do, with a capital; times as text."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {
            key[:1].upper() + key[1:]: _as_sdk(each, shape.members.get(key)) for key, each in value.items()
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_as_sdk(each, shape.member) for each in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _as_sdk(each, shape.value) for key, each in value.items()}
    if shape is not None and shape.type_name == "timestamp" and isinstance(value, int | float):
        moment = datetime.fromtimestamp(value, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def event_targets(plugins: Iterable[Plugin], cloud: Cloud) -> Mapping[str, tuple[str, rules.Deliver]]:
    """Return the services of ours that a rule can start, with the action that its role needs."""
    return {name: (TARGET_ACTIONS[name], deliver) for name, deliver in _deliveries(plugins, cloud)}


def _deliveries(plugins: Iterable[Plugin], cloud: Cloud) -> Iterator[tuple[str, rules.Deliver]]:
    for plugin in plugins:
        if plugin.event_target:
            yield plugin.scope, functools.partial(_deliver, plugin.event_target, cloud)


def _deliver(
    receive: EventTarget, cloud: Cloud, arn: str, target: Any, event: Any, lost: Callable[[str], None]
) -> None:
    """Hand an event over in a thread of its own, thrice (or as the rule says) before it counts as lost."""
    retries = (target.get("RetryPolicy") or {}).get("MaximumRetryAttempts", DELIVERIES - 1)
    deliveries = min(DELIVERIES, int(retries) + 1)

    def work() -> None:
        for attempt in range(1, deliveries + 1):
            try:
                receive(cloud, arn, target, event)
            except (ServiceError, Refused) as refused:
                return lost(str(refused))
            except Exception as error:  # the edge: a target's fault must not lose the event silently
                logger.exception("delivery %s of an event to %s failed", attempt, arn)
                if attempt == deliveries:
                    return lost(str(error))
                time.sleep(attempt)
            else:
                return None
        return None

    cloud.spawn(work)
