"""The operations on endpoints."""

from __future__ import annotations

import uuid
from dataclasses import replace

from atelier.contract.api.endpoints import Endpoint as View
from atelier.contract.api.endpoints import Endpoints
from atelier.lambdas.bootstrap import accounts as access
from atelier.lambdas.bootstrap import endpoints as wiring
from atelier.lambdas.domain.endpoints import Endpoint
from atelier.lambdas.handlers.callers import callers
from atelier.lambdas.handlers.clock import now
from atelier.lambdas.handlers.http import Answer, Api, Call
from atelier.lambdas.services.middleware import endpoints

api = Api(callers)
handle = api.handle


def world(watch: wiring.Watch) -> endpoints.World:
    """Return what endpoints are followed with."""
    return endpoints.World(endpoints=watch.endpoints, fleet=watch.fleet, scaling=watch.scaling)


@api.operation("ListEndpoints")
def list_endpoints(call: Call) -> Answer:
    """List endpoints, the newest first."""
    page = endpoints.listed(
        limit=call.query["limit"],
        start=call.query["exclusive_start_key"],
        username=call.query["username"],
        id=call.query["endpointDeploymentJobId"],
        now=now(),
        world=world(wiring.making().watch),
        accounts=access.access().accounts,
    )
    return Answer(200, Endpoints(endpoints=tuple(map(view, page.items)), last_evaluated_key=page.token))


@api.operation("CreateEndpoint")
def create_endpoint(call: Call) -> Answer:
    """Begin to make an endpoint."""
    making = wiring.making()
    made = endpoints.create(
        call.body,
        id=str(uuid.uuid4()),
        now=now(),
        registry=making.registry,
        caller=call.caller,
        world=world(making.watch),
        launcher=making.launcher,
        accounts=access.access().accounts,
    )
    return Answer(202, view(made), message="endpoint is being created")


@api.operation("DeleteEndpoints")
def delete_endpoints(call: Call) -> Answer:
    """Delete endpoints."""
    endpoints.delete(call.body.endpoint_name_list, world=world(wiring.making().watch))
    return Answer(204)


def view(endpoint: Endpoint) -> View:
    """Return an endpoint as it is shown."""
    shown = View(
        EndpointDeploymentJobId=endpoint.id,
        endpoint_name=endpoint.name,
        endpoint_status=endpoint.status,
        autoscaling=endpoint.autoscaling,
        owner_group_or_role=endpoint.roles,
        current_instance_count=str(endpoint.instances),
        instance_type=endpoint.instance_type,
        endpoint_type=endpoint.kind,
        min_instance_number=str(endpoint.least),
        max_instance_number=str(endpoint.most),
        startTime=endpoint.created,
        custom_extensions=endpoint.extensions,
        service_type=endpoint.service,
    )
    return replace(shown, error=endpoint.error) if endpoint.error else shown
