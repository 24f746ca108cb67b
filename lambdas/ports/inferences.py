"""What inferences need of the world: where they are kept, their objects, and endpoints that answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from atelier.lambdas.domain.accounts import Caller
from atelier.lambdas.domain.inferences import Inference, Model, Sent
from atelier.lambdas.domain.pages import Cursor, Page


class Inferences(Protocol):
    """Jobs by id, with conditional writes. Conflict says that another writer came first."""

    def get(self, id: str) -> Inference | None:
        """Return a job as it is now."""
        ...

    def page(self, task: str, user: str | None, limit: int, after: Cursor | None) -> Page[Inference]:
        """Return some jobs of a kind of task, of one user or of all, the newest first."""
        ...

    def running(self, before: str) -> Iterable[Inference]:
        """Return the jobs in progress that were started before a time, the oldest first."""
        ...

    def add(self, job: Inference) -> Inference:
        """Keep a new job."""
        ...

    def save(self, job: Inference, *, was: Inference) -> Inference:
        """Put *job* in the place of *was* and return it."""
        ...

    def remove(self, id: str) -> None:
        """Forget a job; none is fine."""
        ...


class Notices(Protocol):
    """SageMaker's notices, as a queue brings them."""

    def bring(self, receipt: str, *, seconds: int) -> None:
        """Have a notice brought again so many seconds from now; it comes some time in any case."""
        ...


class Objects(Protocol):
    """The objects of jobs, in the middleware's bucket."""

    def read(self, key: str, most: int) -> bytes | None:
        """Return an object, None when there is none; raise TooLarge for more than *most* bytes."""
        ...

    def exists(self, key: str) -> bool:
        """Say whether there is an object."""
        ...

    def write(self, key: str, body: bytes, content_type: str) -> None:
        """Put an object in place."""
        ...

    def delete(self, *keys: str) -> None:
        """Delete objects; none is fine."""
        ...

    def delete_folder(self, prefix: str) -> None:
        """Delete every object whose key begins so."""
        ...

    def uri(self, key: str) -> str:
        """Return an object's address."""
        ...

    def key(self, uri: str) -> str | None:
        """Return the key that an address names in this bucket; None when it is another's."""
        ...

    def upload_url(self, key: str) -> str:
        """Return a link by which a client may put a JSON object in place, for a short time."""
        ...

    def download_url(self, key: str) -> str:
        """Return a link by which a client may get an object, for a short time."""
        ...


class Invocations(Protocol):
    """Endpoints that answer.

    Busy: the request was not taken and may be tried again. Invalid: it was refused. Failed: it was taken and
    came to nothing.
    """

    def submit(self, endpoint: str, *, id: str, input: str) -> Sent | None:
        """Hand an asynchronous endpoint a request's address; None when nobody knows whether it took it."""
        ...

    def answer(self, endpoint: str, body: bytes) -> bytes:
        """Have a real-time endpoint answer a request."""
        ...


class Checkpoints(Protocol):
    """Checkpoints by type and name."""

    def find(self, type: str, name: str, caller: Caller) -> Model | None:
        """Return an active checkpoint's file of that name, if the caller may use one."""
        ...
