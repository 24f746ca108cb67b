"""The operations on users and on their tokens."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime

from atelier.contract.api import tokens as bodies
from atelier.contract.api.users import CreatedUser, InitialUser, User, Users
from atelier.lambdas.bootstrap import accounts as wiring
from atelier.lambdas.domain.accounts import Token
from atelier.lambdas.handlers.callers import callers
from atelier.lambdas.handlers.http import Answer, Api, Call
from atelier.lambdas.services.middleware import roles, tokens, users
from atelier.lambdas.services.middleware.access import digest

MASK = "********"

api = Api(callers)
handle = api.handle


@api.operation("ListUsers")
def list_users(call: Call) -> Answer:
    """List every user, or the one that is asked for; of passwords there is a mask to show, and no more."""
    found = users.listed(call.query["username"], accounts=wiring.access().accounts)
    told = (
        User(
            username=each.name,
            roles=each.roles,
            creator=each.creator,
            permissions=tuple(sorted(permissions)),
            password=MASK,
        )
        for each, permissions in found
    )
    return Answer(200, Users(users=tuple(told), last_evaluated_key=None))


@api.operation("CreateUser")
def create_user(call: Call) -> Answer:
    """Make a user or change one; `initial` makes the first one."""
    accounts, body = wiring.access().accounts, call.body
    if not body.initial:
        users.save(body.username, body.roles, caller=call.caller, accounts=accounts)
        return Answer(201, message="user created")
    user = users.begin(body.username, body.roles, deployment=call.caller.deployment, accounts=accounts)
    created = CreatedUser(
        user=InitialUser(username=user.name, roles=user.roles),
        all_roles=tuple(each.name for each in roles.listed(accounts=accounts)),
    )
    return Answer(201, created, message="user created")


@api.operation("DeleteUsers")
def delete_users(call: Call) -> Answer:
    """Delete users and revoke their tokens."""
    users.delete(call.body.user_name_list, caller=call.caller, accounts=wiring.access().accounts)
    return Answer(204)


@api.operation("CreateToken")
def create_token(call: Call) -> Answer:
    """Make a token and show its secret, this once."""
    now, secret = int(time.time()), tokens.PREFIX + secrets.token_urlsafe(32)
    lifetime = call.body.expires_in
    token = Token(
        id=secrets.token_hex(8),
        sha256=digest(secret),
        user=call.path["username"],
        description=call.body.description,
        created=now,
        expires=None if lifetime is None else now + lifetime,
    )
    made = tokens.create(token, caller=call.caller, accounts=wiring.access().accounts)
    return Answer(201, bodies.CreatedToken(token=view(made), secret=secret), message="token created")


@api.operation("ListTokens")
def list_tokens(call: Call) -> Answer:
    """List a user's tokens."""
    found = tokens.listed(call.path["username"], caller=call.caller, accounts=wiring.access().accounts)
    return Answer(200, bodies.Tokens(tokens=tuple(map(view, found)), last_evaluated_key=None))


@api.operation("DeleteToken")
def delete_token(call: Call) -> Answer:
    """Revoke a token."""
    accounts = wiring.access().accounts
    tokens.revoke(call.path["username"], call.path["id"], caller=call.caller, accounts=accounts)
    return Answer(204)


def view(token: Token) -> bodies.Token:
    """Return a token as it is shown: without its secret or digest."""
    return bodies.Token(
        id=token.id,
        username=token.user or "",
        description=token.description,
        created=_time(token.created),
        expires=None if token.expires is None else _time(token.expires),
    )


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
