"""Access: whose token a request carries, and what they may do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

from atelier.lambdas.domain.accounts import Caller, Principal, Role, User
from atelier.lambdas.errors import Busy, Conflict, Refused, Unauthenticated
from atelier.lambdas.ports.accounts import Accounts

LONGEST_KEY = 256
ATTEMPTS = 8

UNAUTHORIZED = "Unauthorized"

Outcome = TypeVar("Outcome")


def digest(secret: str) -> str:
    """Return what is kept of a secret.

    A secret has 256 random bits, so one round without salt can be neither guessed nor tabulated; and looking
    it up by digest needs no comparison in constant time, for nobody can steer the digest of a guess.
    """
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def identify(key: str, *, now: float, accounts: Accounts) -> Principal | None:
    """Return whose token *key* is; None when it is nobody's, or not any more."""
    if not key or len(key) > LONGEST_KEY:
        return None
    token = accounts.token(digest(key))
    if token is None or token.is_expired(now):
        return None
    if token.user is None:
        return Principal(kind="deployment", token=token.id)
    return Principal(kind="user", user=token.user, token=token.id, expires=token.expires)


def caller(principal: Principal, username: str | None, *, accounts: Accounts) -> Caller:
    """Return who acts: the token's own user, or whom the deployment's token names."""
    name = username or principal.user
    if principal.kind == "user" and name != principal.user:
        raise Refused(f"User {principal.user} cannot act as another user")
    user = accounts.user(name) if name else None
    if user is None or user.leaving:
        raise Unauthenticated(UNAUTHORIZED)
    return Caller(
        user=user,
        permissions=permissions(user, accounts=accounts),
        deployment=principal.kind == "deployment",
        token_expires=principal.expires,
    )


def permissions(user: User, *, accounts: Accounts) -> frozenset[str]:
    """Return what a user's roles allow now."""
    return granted(accounts.roles_named(user.roles)) if user.roles else frozenset()


def granted(roles: Iterable[Role]) -> frozenset[str]:
    """Return what *roles* allow together; a role that is leaving allows nothing."""
    return frozenset(each for role in roles if not role.leaving for each in role.permissions)


def settled(change: Callable[[], Outcome]) -> Outcome:
    """Make a change that reads before it writes, again while other writers come first."""
    for _ in range(ATTEMPTS):
        try:
            return change()
        except Conflict:
            continue
    raise Busy("others are changing the same, try again")
