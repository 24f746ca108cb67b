"""Endpoints: where generation runs."""

from __future__ import annotations

from typing import Annotated, Literal

from ..schema import About, Items, Number, Text
from ..values import Value

EndpointType = Literal["Real-time", "Async"]
ServiceType = Literal["sd", "comfy"]

COUNT = Text(pattern="^[0-9]+$")
MOST_INSTANCES = 1000
NAME = Text(min=1, max=200)


class CreateEndpointRequest(Value):
    """An endpoint to make."""

    endpoint_type: EndpointType
    instance_type: Annotated[str, Text(min=1, max=64)]
    initial_instance_count: Annotated[float, Number(min=1, max=MOST_INSTANCES, whole=True)]
    autoscaling_enabled: bool
    assign_to_roles: Annotated[tuple[Annotated[str, NAME], ...], Items(min=1, max=10)]
    endpoint_name: Annotated[str, Text(max=63)] | None = None
    service_type: ServiceType = "sd"
    min_instance_number: Annotated[float, Number(min=0, max=MOST_INSTANCES, whole=True)] | None = None
    max_instance_number: Annotated[float, Number(min=0, max=MOST_INSTANCES, whole=True)] | None = None
    custom_docker_image_uri: Annotated[str, Text(max=255)] | None = None
    custom_extensions: (
        Annotated[
            str,
            Text(max=4096),
            About(
                "At most three of https://github.com/owner/name.git#branch#commit, apart by blanks or commas."
            ),
        ]
        | None
    ) = None
    workflow_name: Annotated[str, Text(min=1, max=20, pattern="^[A-Za-z][A-Za-z0-9]*$")] | None = None


class DeleteEndpointsRequest(Value):
    """The endpoints to delete; unknown names are fine."""

    endpoint_name_list: Annotated[tuple[Annotated[str, Text(max=200)], ...], Items(min=1, max=10)]


class Endpoint(Value):
    """An endpoint; counts are texts, as clients know them."""

    EndpointDeploymentJobId: Annotated[str, Text(pattern=r"^[a-f0-9\-]{36}$")]
    endpoint_name: str
    endpoint_status: str
    autoscaling: bool
    owner_group_or_role: tuple[str, ...]
    current_instance_count: Annotated[str, COUNT]
    instance_type: str
    endpoint_type: EndpointType
    min_instance_number: Annotated[str, COUNT]
    max_instance_number: Annotated[str, COUNT]
    startTime: Annotated[str, Text(format="date-time")]
    custom_extensions: str
    service_type: ServiceType
    error: Annotated[str, About("Why it failed.")] | None = None


class Endpoints(Value):
    """A page of endpoints."""

    endpoints: tuple[Endpoint, ...]
    last_evaluated_key: str | None
