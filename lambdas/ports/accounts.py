"""What the middleware's accounts need of the world: where they are kept, and a count of requests."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from atelier.lambdas.domain.accounts import Role, Token, User


class Accounts(Protocol):
    """Roles, users and tokens. Every write is conditional: Conflict says that another writer came first."""

    def user(self, name: str) -> User | None:
        """Return a user as they are now."""
        ...

    def users(self) -> Iterable[User]:
        """Return every user, by name."""
        ...

    def save_user(self, user: User, *, was: User | None) -> User:
        """Put *user* in the place of *was* and return it; Conflict, too, when a role to add is not there."""
        ...

    def remove_user(self, user: User) -> None:
        """Remove a user who is leaving and has no roles or tokens any more."""
        ...

    def role(self, name: str) -> Role | None:
        """Return a role as it is now."""
        ...

    def roles(self) -> Iterable[Role]:
        """Return every role, by name."""
        ...

    def roles_named(self, names: Collection[str]) -> Iterable[Role]:
        """Return those of at most 100 roles that are there."""
        ...

    def save_role(self, role: Role, *, was: Role | None) -> Role:
        """Put *role* in the place of *was* and return it."""
        ...

    def remove_role(self, role: Role) -> None:
        """Remove a role that is leaving and that no user has any more."""
        ...

    def members(self, role: str) -> Iterable[str]:
        """Return the names of the users who have a role."""
        ...

    def token(self, sha256: str) -> Token | None:
        """Return the token of that digest."""
        ...

    def tokens(self, user: str) -> list[Token]:
        """Return a user's tokens, the oldest first."""
        ...

    def add_token(self, token: Token, *, user: User) -> None:
        """Keep a user's token; Conflict when the user is not as given any more."""
        ...

    def remove_token(self, token: Token) -> None:
        """Forget a token; none is fine."""
        ...

    def deployment_tokens(self) -> frozenset[str]:
        """Return the digests of the deployment's tokens."""
        ...

    def keep_deployment_tokens(self, digests: Collection[str], *, now: int) -> None:
        """Make *digests* the deployment's tokens and forget every other."""
        ...


class Rates(Protocol):
    """How many requests each user has been granted in a stretch of time."""

    def take(self, user: str, window: int, count: int, *, limit: int) -> bool:
        """Grant *count* more requests, unless *limit* is passed in all since *window*, a time in seconds."""
        ...


class Secret(Protocol):
    """The deployment's token, as Secrets Manager keeps its versions."""

    def current(self) -> str:
        """Return the version that is valid."""
        ...

    def pending(self, version: str) -> str | None:
        """Return a version by its id, if it has a value."""
        ...

    def propose(self, version: str, value: str) -> None:
        """Give the version to come its value."""
        ...

    def promote(self, version: str) -> None:
        """Make a version the valid one; once more is fine."""
        ...
