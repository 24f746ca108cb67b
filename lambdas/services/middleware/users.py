"""Users: who acts, and in which roles.

Passwords are taken, for clients send them, and not kept in any form: nothing here is opened by a password,
and what is not kept cannot leak. Tokens open the API.

A user is deleted in three steps, each of which can be done again: they are marked *leaving* and lose their
roles, whereupon nobody can act as them or make them a token; their tokens are revoked; they are removed. A
user made later by that name has nothing of the earlier one's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial

from atelier.lambdas.domain.accounts import DEFAULT_USER, OPERATOR, Caller, User, lacking
from atelier.lambdas.errors import Invalid, Refused
from atelier.lambdas.ports.accounts import Accounts
from atelier.lambdas.services.middleware.access import granted, settled


def listed(name: str | None = None, *, accounts: Accounts) -> list[tuple[User, frozenset[str]]]:
    """Return every user, or the one of that name, with what they may do."""
    found: Iterable[User] = accounts.users() if name is None else filter(None, [accounts.user(name)])
    users = [each for each in found if not each.leaving]
    roles = {each.name: each for each in (accounts.roles() if users else ())}
    return [(user, granted(roles[each] for each in user.roles if each in roles)) for user in users]


def save(name: str, roles: Sequence[str] | None, *, caller: Caller, accounts: Accounts) -> User:
    """Make a user or change their roles, unless None; nobody grants what they do not hold."""
    return settled(partial(_save, name, roles, caller.name, caller.permissions, accounts))


def begin(name: str, roles: Sequence[str] | None, *, deployment: bool, accounts: Accounts) -> User:
    """Make a first user, an operator unless *roles* say otherwise; only the deployment's token can."""
    if not deployment:
        raise Refused("initial works with the deployment's token alone")
    return settled(partial(_save, name, roles or (OPERATOR,), name, None, accounts))


def _save(
    name: str, roles: Sequence[str] | None, creator: str, held: Collection[str] | None, accounts: Accounts
) -> User:
    """Put a user in place; *held* is what the creator can grant, None everything."""
    if roles is not None:
        _check(name, roles, held, accounts)
    was = accounts.user(name)
    if was is not None and was.leaving:
        _erase(was, accounts)
        was = None
    user = was or User(name=name, creator=creator)
    kept = user.roles if roles is None else tuple(dict.fromkeys(roles))
    return accounts.save_user(replace(user, roles=kept), was=was)


def _check(name: str, roles: Sequence[str], held: Collection[str] | None, accounts: Accounts) -> None:
    """Refuse roles that are not there, or that the creator cannot grant."""
    found = {each.name: each for each in accounts.roles_named(roles) if not each.leaving}
    if unknown := next((each for each in roles if each not in found), None):
        raise Invalid(f'user roles "{unknown}" not exist')
    if held is not None and (missing := lacking(held, granted(found.values()))):
        raise Invalid(f"creator has no permissions: {missing}")
    if name == DEFAULT_USER and OPERATOR not in roles:
        raise Invalid(f'user "{DEFAULT_USER}" keeps the role "{OPERATOR}"')


def delete(names: Collection[str], *, caller: Caller, accounts: Accounts) -> None:
    """Delete users and revoke their tokens; unknown names are fine."""
    if DEFAULT_USER in names:
        raise Invalid("cannot delete default user")
    if caller.name in names:
        raise Invalid("cannot delete the acting user")
    for name in dict.fromkeys(names):
        settled(partial(_delete, name, accounts))


def _delete(name: str, accounts: Accounts) -> None:
    user = accounts.user(name)
    if user is None:
        return
    if not user.leaving:
        user = accounts.save_user(replace(user, roles=(), leaving=True), was=user)
    _erase(user, accounts)


def _erase(user: User, accounts: Accounts) -> None:
    """Revoke a leaving user's tokens, then remove them."""
    for token in accounts.tokens(user.name):
        accounts.remove_token(token)
    accounts.remove_user(user)
