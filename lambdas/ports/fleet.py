"""What the fleet's functions need of the outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from atelier.contract.fleet import Model
from atelier.lambdas.domain.fleet import Landed, Record, Sight, State


class Stream(Protocol):
    """What is read from its beginning to its end."""

    def read(self, amount: int, /) -> bytes:
        """Return at most so many bytes, none at the end."""
        ...


class Bucket(Protocol):
    """Where models land. Each call raises Busy for what may succeed later."""

    def landed(self) -> Iterator[Landed]:
        """Return the current version of each model's object, in no order."""
        ...

    def sha256(self, landed: Landed) -> str | None:
        """Return what the model's SHA-256 is said to be, if it is."""
        ...

    def opened(self, landed: Landed) -> AbstractContextManager[Stream]:
        """Open that version of the object."""
        ...


class Parameter(Protocol):
    """What names the model that tasks load."""

    def get(self, version: int | None = None) -> Model | None:
        """Return what a version names, or the newest one; None where there is none."""
        ...

    def put(self, model: Model) -> int:
        """Write a new version and return its number."""
        ...

    def clear(self) -> None:
        """Name no model any more."""
        ...


class Service(Protocol):
    """The tasks."""

    def look(self) -> Sight:
        """Return what is deployed, and how far."""
        ...

    def deploy(self, version: int) -> str:
        """Have tasks read that version of the parameter; return the revision of the task that says so."""
        ...

    def back(self, definition: str) -> None:
        """Have tasks run a revision of before."""
        ...

    def rest(self) -> None:
        """Have no tasks."""
        ...

    def last_words(self, since: str) -> str:
        """Return why tasks ended lately, as the last of them said it; nothing if none did."""
        ...


class Memory(Protocol):
    """What is remembered."""

    def state(self) -> State:
        """Return what serves and what is tried."""
        ...

    def save(self, state: State) -> State:
        """Keep it in place of the one it was made from; raise Conflict when another writer came first."""
        ...

    def record(self, id: str) -> Record | None:
        """Return what became of a landing, if anything did."""
        ...

    def write(self, record: Record) -> None:
        """Keep what became of a landing."""
        ...


class People(Protocol):
    """Who wants to know."""

    def tell(self, subject: str, text: str) -> None:
        """Tell them."""
        ...
