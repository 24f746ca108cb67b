"""What endpoints need of the world: where they are kept, where they run, and how they grow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from atelier.lambdas.domain.endpoints import Endpoint, Sight


class Endpoints(Protocol):
    """Endpoints by name, with conditional writes. Conflict says that another writer came first."""

    def get(self, name: str) -> Endpoint | None:
        """Return an endpoint as it is now."""
        ...

    def all(self) -> Iterable[Endpoint]:
        """Return every endpoint, the newest first."""
        ...

    def add(self, endpoint: Endpoint) -> Endpoint:
        """Keep a new endpoint; Conflict names what is taken: the name, or a role's one of the kind."""
        ...

    def save(self, endpoint: Endpoint, *, was: Endpoint) -> Endpoint:
        """Put *endpoint* in the place of *was* and return it; a role that it loses may have another."""
        ...

    def remove(self, endpoint: Endpoint) -> None:
        """Forget an endpoint that is gone; Conflict when it is not as given any more."""
        ...


class Launcher(Protocol):
    """What makes endpoints in SageMaker."""

    def launch(self, endpoint: Endpoint) -> None:
        """Make model, configuration and endpoint, of one name; Invalid in SageMaker's words when it refuses.

        Nothing is left of it then; Failed says what could not be taken back.
        """
        ...


class Fleet(Protocol):
    """Endpoints in SageMaker, each with the configuration and the model of its name."""

    def look(self, name: str) -> Sight | None:
        """Return an endpoint as it is now; None when there is none."""
        ...

    def dismantle(self, name: str) -> None:
        """Delete endpoint, configuration and model; none is fine; raise Busy while the endpoint changes."""
        ...


class Scaling(Protocol):
    """How the number of an endpoint's instances follows its work."""

    def enable(self, endpoint: Endpoint) -> None:
        """Let an endpoint in service grow and shrink; once more is fine."""
        ...

    def disable(self, name: str) -> None:
        """Let it be; none is fine."""
        ...
