"""What the WebUI's pipeline needs of the world; adapters and fakes implement it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from atelier.contract.webui import Push
from atelier.lambdas.domain.webui import Commit, Execution, Run, Upstream, Watch


class Declarations(Protocol):
    """Where our own source says which repository is followed."""

    def text(self) -> str | None:
        """Return the declaration, if there is any source yet."""
        ...


class Upstreams(Protocol):
    """Repositories of others."""

    def head(self, upstream: Upstream) -> str:
        """Return the commit; raise NotFound, Throttled when asked too often, or Busy when it is away."""
        ...


class Starts(Protocol):
    """What starts the pipeline of the WebUI's image."""

    def start(self, token: str, upstream: str | None = None) -> str:
        """Start a run once for each token, and return its id; without *upstream* with the default.

        It raises Busy for what may succeed later.
        """
        ...


class Pipeline(Starts, Protocol):
    """The pipeline, with what became of its runs."""

    def describe(self, run: str) -> Execution:
        """Return what a run was given and how far it came."""
        ...


class History(Protocol):
    """What is remembered. To save raises Conflict when another writer came first."""

    def watch(self) -> Watch:
        """Return the last look at upstream."""
        ...

    def commit(self, id: str) -> Commit | None:
        """Return an upstream commit, if it was begun."""
        ...

    def run(self, id: str) -> Run | None:
        """Return a run, if it was heard of."""
        ...

    def save_watch(self, value: Watch) -> Watch:
        """Keep it in place of the one it was made from."""
        ...

    def save_commit(self, value: Commit) -> Commit:
        """Keep it in place of the one it was made from."""
        ...

    def save_run(self, value: Run) -> Run:
        """Keep it in place of the one it was made from."""
        ...


class Latest(Protocol):
    """What is launched: the parameters of the latest good image."""

    def get(self, name: str) -> str | None:
        """Return a parameter, if it was ever set."""
        ...

    def put(self, name: str, value: str) -> None:
        """Set a parameter."""
        ...


class People(Protocol):
    """Who wants to know."""

    def tell(self, subject: str, text: str) -> None:
        """Tell them."""
        ...


class Differences(Protocol):
    """What changes from one commit to another."""

    def paths(self, push: Push) -> Iterator[str]:
        """Return every path that a push touches; raise NotFound when its old commit is gone."""
        ...
