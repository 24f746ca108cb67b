"""Endpoints: made, followed and deleted.

SageMaker says in which state an endpoint is. An event, a list and the clock each make us look again, and what
we see is kept; so it does not matter in which order events come, or how often. Only that an endpoint is being
deleted is ours to say: SageMaker refuses to delete one that changes, and then it is deleted when it is seen
next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from atelier.contract.api.endpoints import CreateEndpointRequest
from atelier.contract.values import Value
from atelier.lambdas.domain.accounts import Caller
from atelier.lambdas.domain.endpoints import CREATING, DELETING, IN_SERVICE, Endpoint, named
from atelier.lambdas.domain.pages import Page, cursor, first
from atelier.lambdas.errors import Busy, Conflict, Failed, Invalid, NotFound, ServiceError
from atelier.lambdas.ports.accounts import Accounts
from atelier.lambdas.ports.endpoints import Endpoints, Fleet, Launcher, Scaling
from atelier.lambdas.services.middleware.access import settled

LIST = "endpoints"
SHORT = 7
"""Characters of its id that name an endpoint without a name."""

PATIENCE = timedelta(minutes=15)
"""After this, a creation that SageMaker knows nothing of was killed half-way."""

MOST_EXTENSIONS = 3
EXTENSION = re.compile(
    r"https://github\.com/[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}\.git#[A-Za-z0-9._/-]{1,200}#[0-9a-f]{40}"
)
IMAGE = re.compile(r"[a-z0-9]+([._/-][a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})?")


class World(Value):
    """Where endpoints are kept and run."""

    endpoints: Endpoints
    fleet: Fleet
    scaling: Scaling


def listed(
    *,
    limit: int,
    start: str | None,
    now: str,
    world: World,
    accounts: Accounts,
    username: str | None = None,
    id: str | None = None,
) -> Page[Endpoint]:
    """Return endpoints, the newest first: all of them, those that a user may use, or the one of an id.

    Those to which something is happening are looked at again.
    """
    roles = None if username is None else _roles(username, accounts)
    after = cursor(start, of=LIST)
    found = (
        each
        for each in world.endpoints.all()
        if (roles is None or each.is_for(roles))
        and (id is None or each.id == id)
        and (after is None or (each.created, each.name) < (after.at, after.id))
    )
    page = first(found, limit, of=LIST, at=lambda endpoint: (endpoint.created, endpoint.name))
    seen = [each if each.is_settled else _glance(each, now, world) for each in page.items]
    return Page(items=tuple(each for each in seen if each is not None), last=page.last)


def _roles(username: str, accounts: Accounts) -> tuple[str, ...]:
    user = accounts.user(username)
    if user is None or user.leaving:
        raise Invalid(f'user: "{username}" not exist')
    return user.roles


def _glance(endpoint: Endpoint, now: str, world: World) -> Endpoint | None:
    """Look again; show what was known when that cannot be done now."""
    try:
        return observe(endpoint, now=now, world=world)
    except ServiceError:
        return endpoint


def create(
    request: CreateEndpointRequest,
    *,
    id: str,
    now: str,
    registry: str,
    caller: Caller,
    world: World,
    launcher: Launcher,
    accounts: Accounts,
) -> Endpoint:
    """Begin to make an endpoint; what was begun is taken back when SageMaker refuses."""
    planned = plan(request, id=id, now=now, creator=caller.name, registry=registry)
    known = {each.name for each in accounts.roles_named(planned.roles) if not each.leaving}
    if missing := sorted(set(planned.roles) - known):
        raise Invalid(f'user roles "{missing[0]}" not exist')
    kept = world.endpoints.add(planned)
    try:
        launcher.launch(kept)
    except Failed as error:  # something of it is left: it stays, so that it can be deleted
        world.endpoints.save(kept.failed(str(error)), was=kept)
        raise
    except Exception:
        world.endpoints.remove(kept)
        raise
    return kept


def plan(request: CreateEndpointRequest, *, id: str, now: str, creator: str, registry: str) -> Endpoint:
    """Return the endpoint that is asked for; refuse what cannot be."""
    if request.service_type != "sd":
        raise Invalid(f"service_type {request.service_type} is not supported by this deployment")
    if request.workflow_name is not None:
        raise NotFound(f"workflow {request.workflow_name} not found")
    initial = int(request.initial_instance_count)
    least, most = _bounds(request, initial)
    return Endpoint(
        id=id,
        name=named(request.service_type, request.endpoint_type, request.endpoint_name or id[:SHORT]),
        kind=request.endpoint_type,
        service=request.service_type,
        roles=tuple(dict.fromkeys(request.assign_to_roles)),
        creator=creator,
        created=now,
        instance_type=request.instance_type,
        initial=initial,
        autoscaling=request.autoscaling_enabled,
        least=least,
        most=most,
        custom_image=_image(request.custom_docker_image_uri or "", registry),
        extensions=_extensions(request.custom_extensions or "", request.custom_docker_image_uri or ""),
    )


def _bounds(request: CreateEndpointRequest, initial: int) -> tuple[int, int]:
    """Return between how many instances the endpoint has; without autoscaling that does not change."""
    if not request.autoscaling_enabled:
        return initial, initial
    floor = 0 if request.endpoint_type == "Async" else 1
    least = floor if request.min_instance_number is None else int(request.min_instance_number)
    most = initial if request.max_instance_number is None else int(request.max_instance_number)
    if least < floor:
        raise Invalid("min_instance_number of a Real-time endpoint must be at least 1")
    if not least <= initial <= most:
        raise Invalid(
            "initial_instance_count must be between min_instance_number and max_instance_number "
            f"({least} and {most}), found {initial}"
        )
    return least, most


def _image(uri: str, registry: str) -> str:
    host, _, name = uri.partition("/")
    if uri and (host != registry or not IMAGE.fullmatch(name)):
        raise Invalid(f"custom_docker_image_uri must be an image in {registry}")
    return uri


def _extensions(given: str, image: str) -> str:
    """Return the extensions as they were given; our own image installs none, and says so now."""
    listed = [each for each in re.split(r"[\s,]+", given) if each]
    if len(listed) > MOST_EXTENSIONS:
        raise Invalid(f"custom_extensions: at most {MOST_EXTENSIONS}, found {len(listed)}")
    for each in listed:
        if not EXTENSION.fullmatch(each):
            raise Invalid(
                f'custom_extensions: "{each[:200]}" is not https://github.com/owner/repository.git#branch#commit'
            )
    if listed and not image:
        raise Invalid("custom_extensions need a custom_docker_image_uri: the deployment's image has none")
    return given.strip()


def delete(names: Sequence[str], *, world: World) -> None:
    """Delete endpoints; unknown names are fine, and those that change go when they have changed."""
    for name in dict.fromkeys(names):
        marked: Callable[[], Endpoint | None] = partial(_mark, name, world)
        if (endpoint := settled(marked)) is not None:
            _tear_down(endpoint, world)


def _mark(name: str, world: World) -> Endpoint | None:
    was = world.endpoints.get(name)
    if was is None or was.status == DELETING:
        return was
    return world.endpoints.save(replace(was, status=DELETING), was=was)


def _tear_down(endpoint: Endpoint, world: World) -> None:
    world.scaling.disable(endpoint.name)
    with suppress(Busy):
        world.fleet.dismantle(endpoint.name)


def refresh(name: str, *, now: str, world: World) -> Endpoint | None:
    """Look at an endpoint of which there is news; one that is not ours is none."""
    return settled(partial(_refresh, name, now, world))


def _refresh(name: str, now: str, world: World) -> Endpoint | None:
    was = world.endpoints.get(name)
    return None if was is None else observe(was, now=now, world=world)


def observe(was: Endpoint, *, now: str, world: World) -> Endpoint | None:
    """Keep what SageMaker says of an endpoint, and do what follows from it; None when it is gone."""
    sight = world.fleet.look(was.name)
    if sight is None:
        return _missing(was, now, world)
    if was.status == DELETING:
        if sight.status != DELETING:
            _tear_down(was, world)
        return was
    after = was.seen(sight)
    if after.status == IN_SERVICE and was.status == CREATING and was.autoscaling:
        after = _scaled(after, world)
    return was if after == was else world.endpoints.save(after, was=was)


def _scaled(endpoint: Endpoint, world: World) -> Endpoint:
    """Let an endpoint scale; where that is refused it serves as it is, and says so."""
    try:
        world.scaling.enable(endpoint)
    except Invalid as error:
        return replace(endpoint, error=f"autoscaling: {error}"[:1024])
    return endpoint


def _missing(was: Endpoint, now: str, world: World) -> Endpoint | None:
    """SageMaker has no such endpoint: take back what is left of it."""
    if was.status == DELETING:
        _tear_down(was, world)
        with suppress(Conflict):
            world.endpoints.remove(was)
        return None
    if not was.claims or (was.status == CREATING and _age(was, now) < PATIENCE):
        return was
    _tear_down(was, world)
    why = "was not made to the end" if was.status == CREATING else "SageMaker has no such endpoint any more"
    return world.endpoints.save(was.failed(why), was=was)


def _age(endpoint: Endpoint, now: str) -> timedelta:
    return datetime.fromisoformat(now) - datetime.fromisoformat(endpoint.created)
