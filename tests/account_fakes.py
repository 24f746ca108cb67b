"""Fakes of the accounts' ports, and short ways to make roles, users and callers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from atelier.lambdas.domain.accounts import DEFAULT_USER, EVERYTHING, OPERATOR, Caller, Role, Token, User
from atelier.lambdas.errors import Conflict
from atelier.lambdas.ports.accounts import Accounts
from atelier.lambdas.services.middleware.access import digest, permissions

NOW = 1_000_000


class Killed(Exception):
    """The function was killed."""


@dataclass
class FakeAccounts:
    """Keeps accounts in memory, as conditionally as the table.

    It is killed when *writes_left* are done; *interrupt* is called once, before the next write.
    """

    users_by_name: dict[str, User] = field(default_factory=dict)
    roles_by_name: dict[str, Role] = field(default_factory=dict)
    tokens_by_digest: dict[str, Token] = field(default_factory=dict)
    writes_left: int | None = None
    interrupt: Callable[[], None] | None = None
    numbers: count[int] = field(default_factory=count)

    def user(self, name: str) -> User | None:
        return self.users_by_name.get(name)

    def users(self) -> list[User]:
        return [each for _, each in sorted(self.users_by_name.items())]

    def save_user(self, user: User, *, was: User | None) -> User:
        self._write(self.users_by_name, user.name, was)
        for role in set(user.roles) - set(was.roles if was else ()):
            found = self.roles_by_name.get(role)
            if found is None or found.leaving:
                raise Conflict(f"there is no role {role}")
        return self._keep(self.users_by_name, user)

    def remove_user(self, user: User) -> None:
        self._write(self.users_by_name, user.name, user)
        self._remove(self.users_by_name, user.name)

    def role(self, name: str) -> Role | None:
        return self.roles_by_name.get(name)

    def roles(self) -> list[Role]:
        return [each for _, each in sorted(self.roles_by_name.items())]

    def roles_named(self, names: Collection[str]) -> list[Role]:
        return [self.roles_by_name[each] for each in dict.fromkeys(names) if each in self.roles_by_name]

    def save_role(self, role: Role, *, was: Role | None) -> Role:
        self._write(self.roles_by_name, role.name, was)
        return self._keep(self.roles_by_name, role)

    def remove_role(self, role: Role) -> None:
        self._write(self.roles_by_name, role.name, role)
        self._remove(self.roles_by_name, role.name)

    def members(self, role: str) -> list[str]:
        return [each.name for each in self.users() if role in each.roles]

    def token(self, sha256: str) -> Token | None:
        return self.tokens_by_digest.get(sha256)

    def tokens(self, user: str) -> list[Token]:
        found = (each for each in self.tokens_by_digest.values() if each.user == user)
        return sorted(found, key=lambda each: (each.created, each.id))

    def add_token(self, token: Token, *, user: User) -> None:
        self._write(self.users_by_name, user.name, user)
        if self.users_by_name[user.name].leaving:
            raise Conflict(f"{user.name} is leaving")
        self._keep(self.users_by_name, user)
        self.tokens_by_digest[token.sha256] = token

    def remove_token(self, token: Token) -> None:
        self._write({}, "", None)
        self.tokens_by_digest.pop(token.sha256, None)

    def deployment_tokens(self) -> frozenset[str]:
        return frozenset(each.sha256 for each in self.tokens_by_digest.values() if each.user is None)

    def keep_deployment_tokens(self, digests: Collection[str], *, now: int) -> None:
        self._write({}, "", None)
        for each in self.deployment_tokens():
            del self.tokens_by_digest[each]
        for each in digests:
            self.tokens_by_digest[each] = Token(id="deployment", sha256=each, created=now)

    def _write(self, kept: dict[str, Any], name: str, was: Any) -> None:
        """Let a write pass when nobody was killed and it replaces what was read."""
        interrupt, self.interrupt = self.interrupt, None
        if interrupt is not None:
            interrupt()
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise Killed
            self.writes_left -= 1
        found = kept.get(name)
        if (found and found.version) != (was and was.version):
            raise Conflict(f"{name} was changed elsewhere")

    def _keep(self, kept: dict[str, Any], value: Any) -> Any:
        kept[value.name] = replace(value, version=f"v{next(self.numbers)}")
        return kept[value.name]

    def _remove(self, kept: dict[str, Any], name: str) -> None:
        if not kept[name].leaving:
            raise Conflict(f"{name} is not leaving")
        del kept[name]


@dataclass
class FakeRates:
    """Counts grants in memory."""

    granted: dict[tuple[str, int], int] = field(default_factory=dict)
    writes: int = 0

    def take(self, user: str, window: int, count: int, *, limit: int) -> bool:
        self.writes += 1
        used = self.granted.get((user, window), 0)
        if used + count > limit:
            return False
        self.granted[user, window] = used + count
        return True


@dataclass
class FakeSecret:
    """A secret with versions."""

    values: dict[str, str] = field(default_factory=dict)
    current_version: str = "first"

    def current(self) -> str:
        return self.values[self.current_version]

    def pending(self, version: str) -> str | None:
        return self.values.get(version)

    def propose(self, version: str, value: str) -> None:
        self.values[version] = value

    def promote(self, version: str) -> None:
        self.current_version = version


def with_role(accounts: Accounts, name: str, *held: str) -> Role:
    """Make a role."""
    role = Role(name=name, permissions=frozenset(held), creator=DEFAULT_USER)
    return accounts.save_role(role, was=None)


def with_user(accounts: Accounts, name: str, *roles: str) -> User:
    """Make a user with roles that are there."""
    return accounts.save_user(User(name=name, roles=roles, creator=DEFAULT_USER), was=None)


def with_token(accounts: Accounts, user: str, secret: str, **more: Any) -> Token:
    """Make a token of a user."""
    token = Token(**{"id": f"id-{secret}", "sha256": digest(secret), "user": user, "created": NOW, **more})
    owner = accounts.user(user)
    assert owner is not None
    accounts.add_token(token, user=owner)
    return token


def begun(accounts: Accounts) -> Accounts:
    """Put in place what a deployment begins with."""
    for name in (OPERATOR, "byoc"):
        with_role(accounts, name, *EVERYTHING)
    with_user(accounts, DEFAULT_USER, OPERATOR)
    return accounts


def acting(accounts: Accounts, name: str, **more: Any) -> Caller:
    """The caller that a user is now."""
    user = accounts.user(name)
    assert user is not None
    return Caller(user=user, permissions=permissions(user, accounts=accounts), **more)
