"""Endpoints: what was asked for, and what SageMaker says of it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from atelier.contract.api.endpoints import EndpointType, ServiceType
from atelier.contract.values import Value
from atelier.lambdas.errors import Invalid

LONGEST_NAME = 63
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")

CREATING, IN_SERVICE, FAILED, DELETING = "Creating", "InService", "Failed", "Deleting"
"""The states, in SageMaker's words, that something depends on; there are others, such as Updating."""

SERVING = frozenset({IN_SERVICE, "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed"})
"""States in which requests are taken: an endpoint serves all the while that it grows, shrinks or changes."""

SETTLED = frozenset({IN_SERVICE, FAILED})
"""States in which an endpoint stays until something happens to it."""

OWN_TASKS = frozenset({"txt2img", "img2img"})
"""What our own image does; a custom one may do more."""


class Sight(Value):
    """An endpoint as SageMaker sees it."""

    status: str
    instances: int
    reason: str = ""


class Endpoint(Value):
    """An endpoint and those who may use it; *least* and *most* bound the number of its instances."""

    id: str
    name: str
    kind: EndpointType
    service: ServiceType = "sd"
    roles: tuple[str, ...]
    creator: str
    created: str
    status: str = CREATING
    instance_type: str
    initial: int
    instances: int = 0
    autoscaling: bool = False
    least: int
    most: int
    custom_image: str = ""
    extensions: str = ""
    error: str = ""
    version: str = ""

    @property
    def claims(self) -> tuple[str, ...]:
        """The roles for which this is the one valid endpoint of its kind, in the order of its roles."""
        is_valid = self.status not in {FAILED, DELETING}
        return tuple(f"{self.service}#{self.kind}#{role}" for role in self.roles) if is_valid else ()

    @property
    def is_serving(self) -> bool:
        """Whether it takes requests."""
        return self.status in SERVING

    @property
    def is_settled(self) -> bool:
        """Whether nothing is going on."""
        return self.status in SETTLED

    def is_for(self, roles: Collection[str]) -> bool:
        """Say whether somebody with *roles* may use it."""
        return not set(self.roles).isdisjoint(roles)

    def serves(self, task: str) -> bool:
        """Say whether its image does a task, as far as is known."""
        return bool(self.custom_image) or task in OWN_TASKS

    def seen(self, sight: Sight) -> Endpoint:
        """Return this endpoint as SageMaker sees it; one that failed or is being deleted never comes back."""
        if self.status in {FAILED, DELETING}:
            return replace(self, instances=sight.instances)
        error = sight.reason if sight.status == FAILED else ""
        return replace(self, status=sight.status, instances=sight.instances, error=error)

    def failed(self, why: str) -> Endpoint:
        """Return this endpoint as one that came to nothing."""
        return replace(self, status=FAILED, instances=0, error=why[:1024])


def named(service: str, kind: str, name: str) -> str:
    """Return the name of an endpoint, which is the name of its configuration and model, too."""
    full = f"{service}-{kind.lower()}-{name}"
    if not NAME.fullmatch(full) or len(full) > LONGEST_NAME:
        most = LONGEST_NAME - len(full) + len(name)
        raise Invalid(
            f'endpoint_name "{name}" must be at most {most} letters, digits and single hyphens between them'
        )
    return full
