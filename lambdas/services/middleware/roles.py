"""Roles: named sets of permissions.

A role is deleted in three steps, each of which can be done again: it is marked *leaving*, whereupon it gives
nobody anything; it is taken from every user who has it; it is removed. Were it removed first, a function
killed half-way would leave its name with users, and a role made later by that name would be theirs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial

from atelier.contract.api.roles import PERMISSIONS
from atelier.lambdas.domain.accounts import DEFAULT_ROLES, EVERYTHING, OPERATOR, Caller, Role, lacking
from atelier.lambdas.errors import Invalid
from atelier.lambdas.ports.accounts import Accounts
from atelier.lambdas.services.middleware.access import settled


def listed(name: str | None = None, *, accounts: Accounts) -> list[Role]:
    """Return every role, or the one of that name."""
    found = accounts.roles() if name is None else accounts.roles_named([name])
    return [each for each in found if not each.leaving]


def save(name: str, permissions: Collection[str], *, caller: Caller, accounts: Accounts) -> Role:
    """Make a role or change what it allows; nobody grants what they do not hold.

    The operators' role keeps everything, or nobody might be left who could give it back.
    """
    if unknown := sorted(set(permissions) - set(PERMISSIONS)):
        raise Invalid(f'permission "{unknown[0]}" not exist')
    if missing := lacking(caller.permissions, permissions):
        raise Invalid(f"creator {caller.name} has no permissions: {missing}")
    if name == OPERATOR and lacking(permissions, EVERYTHING):
        raise Invalid("cannot change default role")
    return settled(partial(_save, name, frozenset(permissions), caller.name, accounts))


def _save(name: str, permissions: frozenset[str], creator: str, accounts: Accounts) -> Role:
    was = accounts.role(name)
    if was is not None and was.leaving:
        _erase(was, accounts)
        was = None
    role = was or Role(name=name, permissions=permissions, creator=creator)
    return accounts.save_role(replace(role, permissions=permissions), was=was)


def delete(names: Collection[str], *, accounts: Accounts) -> None:
    """Delete roles and take them from every user; unknown names are fine."""
    if any(each in DEFAULT_ROLES for each in names):
        raise Invalid("cannot delete default role")
    wanted = dict.fromkeys(names)
    for name in wanted:
        settled(partial(_retire, name, accounts))
    for name in wanted:
        settled(partial(_remove, name, accounts))


def _retire(name: str, accounts: Accounts) -> None:
    role = accounts.role(name)
    if role is not None and not role.leaving:
        accounts.save_role(replace(role, leaving=True), was=role)


def _remove(name: str, accounts: Accounts) -> None:
    role = accounts.role(name)
    if role is not None and role.leaving:
        _erase(role, accounts)


def _erase(role: Role, accounts: Accounts) -> None:
    """Take a leaving role from its users, then remove it."""
    for user in accounts.members(role.name):
        settled(partial(_strip, user, role.name, accounts))
    accounts.remove_role(role)


def _strip(username: str, role: str, accounts: Accounts) -> None:
    user = accounts.user(username)
    if user is not None and role in user.roles:
        kept = tuple(each for each in user.roles if each != role)
        accounts.save_user(replace(user, roles=kept), was=user)
