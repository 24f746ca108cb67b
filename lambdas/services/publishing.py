"""Publishing: move what serves to an approved version.

Every step looks at what is there, starts what is missing and returns; CodePipeline calls again with the token
that names where to go on. The stable endpoint moves first and serves all the while, the API's stack follows,
and only when both are as they should be is the candidate removed.
"""

from __future__ import annotations

from collections.abc import Mapping

from atelier.contract.events import PublishModel
from atelier.contract.values import Value
from atelier.lambdas.domain.training import Endpoint, ModelVersion, Stack, Step
from atelier.lambdas.errors import Busy, Conflict, Failed
from atelier.lambdas.ports.training import Endpoints, Feed, Registry, Stacks
from atelier.lambdas.services import candidates
from atelier.lambdas.services import registry as versions

ENDPOINT = "endpoint"
MOVING = "moving the endpoint"
STACK = "stack"
APPLYING = "applying the stack"
CANDIDATE = "candidate"

BROKEN = frozenset({"Failed", "UpdateRollbackFailed"})
COMPLETE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
STILLBORN = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"})


class Targets(Value):
    """What publishing moves: two endpoints, and a stack with the parameters that every version shares."""

    stable: str
    candidate: str
    stack: str
    parameters: Mapping[str, str]


def advance(
    request: PublishModel,
    token: str | None,
    *,
    now: str,
    targets: Targets,
    registry: Registry,
    endpoints: Endpoints,
    stacks: Stacks,
    feed: Feed | None = None,
) -> Step:
    """Go on publishing a version from where *token* says, and say how far it is."""
    version = registry.get(versions.number(request.version))
    if version.status != "approved":
        raise Conflict(f"version {version.version} of {version.model} is {version.status}, not approved")
    token = token or ENDPOINT
    if token in {ENDPOINT, MOVING}:
        token = move(token, version, stable=targets.stable, endpoints=endpoints)
    if token in {STACK, APPLYING}:
        token = apply(token, request, targets=targets, stacks=stacks)
    if token == CANDIDATE:
        return finish(
            version,
            now=now,
            targets=targets,
            registry=registry,
            endpoints=endpoints,
            stacks=stacks,
            feed=feed,
        )
    what = targets.stable if token in {ENDPOINT, MOVING} else targets.stack
    return Step(token=token, external_id=what, summary=f"waiting for {what}")


def move(token: str, version: ModelVersion, *, stable: str, endpoints: Endpoints) -> str:
    """Move the stable endpoint to the version; return where to go on."""
    found = endpoints.get(stable)
    if found is None:
        if token == MOVING:
            raise Failed(f"the endpoint {stable} has vanished")
        endpoints.create(stable, version.endpoint_config)
        return MOVING
    if found.status in BROKEN:
        return clear(token, found, endpoints=endpoints)
    if found.status != "InService":
        return token
    if found.config == version.endpoint_config:
        return STACK
    if token == MOVING:
        raise Failed(
            f"the endpoint {stable} went back to {found.config}: {found.reason or 'no reason is given'}"
        )
    endpoints.update(stable, version.endpoint_config)
    return MOVING


def clear(token: str, found: Endpoint, *, endpoints: Endpoints) -> str:
    """Delete an endpoint that an earlier run left failed, for it can do nothing else; ours is a failure."""
    if token == MOVING:
        raise Failed(f"the endpoint {found.name} failed: {found.reason or 'no reason is given'}")
    endpoints.delete(found.name)
    return ENDPOINT


def apply(token: str, request: PublishModel, *, targets: Targets, stacks: Stacks) -> str:
    """Create or update the API's stack; return where to go on."""
    found = stacks.get(targets.stack)
    if found is not None and found.status.endswith("_IN_PROGRESS"):
        return token
    if token == APPLYING:
        if found is None or found.status not in COMPLETE:
            raise Failed(f"the stack {targets.stack} ended {_outcome(found)}")
        return CANDIDATE
    if found is not None and found.status in STILLBORN:
        stacks.delete(targets.stack)
        return STACK
    parameters = {**targets.parameters, "CodeKey": request.code_key, "LayerKey": request.layer_key}
    return APPLYING if stacks.apply(targets.stack, request.template_key, parameters) else CANDIDATE


def _outcome(stack: Stack | None) -> str:
    if stack is None:
        return "deleted"
    return f"{stack.status}: {stack.reason}" if stack.reason else stack.status


def finish(
    version: ModelVersion,
    *,
    now: str,
    targets: Targets,
    registry: Registry,
    endpoints: Endpoints,
    stacks: Stacks,
    feed: Feed | None,
) -> Step:
    """Record that the version serves, remove the candidate, and hand on where the API answers.

    Where there is a fleet, the version lands there in the end; what becomes of it there, the fleet tells.
    """
    versions.publish(version, now=now, registry=registry)
    try:
        candidates.remove(targets.candidate, version.endpoint_config, endpoints=endpoints)
    except Busy:
        return Step(
            token=CANDIDATE, external_id=targets.candidate, summary=f"waiting for {targets.candidate}"
        )
    if feed:
        feed.land(version.model, version.artifact, version.artifact_sha256)
    stack = stacks.get(targets.stack)
    outputs = stack.outputs if stack else {}
    return Step(
        summary=f"version {version.version} serves",
        external_id=targets.stack,
        outputs={
            "API_URL": outputs.get("ApiUrl", ""),
            "API_ID": outputs.get("ApiId", ""),
            "ENDPOINT": targets.stable,
        },
    )
