"""Tokens: a user's keys to the API. The secret is shown once, when it is made; only its digest is kept."""

from __future__ import annotations

from functools import partial

from atelier.lambdas.domain.accounts import Caller, Token, User, lacking
from atelier.lambdas.errors import Invalid, NotFound, Refused
from atelier.lambdas.ports.accounts import Accounts
from atelier.lambdas.services.middleware.access import permissions, settled

MOST = 20
"""How many tokens a user can have at once."""

PREFIX = "atl_"
"""What a token begins with, so that people and secret scanners know one when they see it."""


def create(token: Token, *, caller: Caller, accounts: Accounts) -> Token:
    """Keep a new token of ``token.user``; it cannot outlive the token that asks for it."""
    limit = caller.token_expires
    if limit is not None and (token.expires is None or token.expires > limit):
        raise Refused("a token that expires can only make tokens that expire no later")
    return settled(partial(_add, token, caller, accounts))


def _add(token: Token, caller: Caller, accounts: Accounts) -> Token:
    user = _owner(token.user or "", caller, accounts)
    kept = accounts.tokens(user.name)
    for each in kept:
        if each.is_expired(token.created):
            accounts.remove_token(each)
    if sum(not each.is_expired(token.created) for each in kept) >= MOST:
        raise Invalid(f"user {user.name} has {MOST} tokens already, revoke one first")
    accounts.add_token(token, user=user)
    return token


def listed(username: str, *, caller: Caller, accounts: Accounts) -> list[Token]:
    """Return a user's tokens, those that have expired included."""
    return accounts.tokens(_owner(username, caller, accounts).name)


def revoke(username: str, token_id: str, *, caller: Caller, accounts: Accounts) -> None:
    """Forget a user's token; an unknown one is not found, lest a slip look like a revocation."""
    user = _owner(username, caller, accounts)
    token = next((each for each in accounts.tokens(user.name) if each.id == token_id), None)
    if token is None:
        raise NotFound(f"token {token_id} of user {user.name} not found")
    settled(partial(accounts.remove_token, token))


def _owner(username: str, caller: Caller, accounts: Accounts) -> User:
    """Return whose tokens these are: one's own, or those of somebody who may do no more than oneself.

    A token lets its holder act as its user, so making one for another hands on all that they may do.
    """
    own = username == caller.name
    if not own and not caller.may("user:all"):
        raise Refused(f"User {caller.name} has no permissions: ['user:all']")
    user = accounts.user(username)
    if user is None or user.leaving:
        raise NotFound(f"user {username} not found")
    if not own and (missing := lacking(caller.permissions, permissions(user, accounts=accounts))):
        raise Refused(f"User {caller.name} has no permissions: {missing}")
    return user
