"""The deployment's own token, and the roles and the user that a deployment begins with.

Secrets Manager makes and keeps the token; here only its digest is kept. During a rotation the current secret
and the pending one both open the API; when it ends, the new one alone does.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import partial

from atelier.lambdas.domain.accounts import (
    DEFAULT_ROLES,
    DEFAULT_USER,
    EVERYTHING,
    OPERATOR,
    Role,
    User,
)
from atelier.lambdas.errors import Failed
from atelier.lambdas.ports.accounts import Accounts, Secret
from atelier.lambdas.services.middleware.access import LONGEST_KEY, digest, settled

SHORTEST = 32
"""Characters of a token that is taken: fewer might be guessed."""

FIT = re.compile(rf"[!-~]{{{SHORTEST},{LONGEST_KEY}}}")


def establish(*, now: int, secret: Secret, accounts: Accounts) -> None:
    """Make what a deployment begins with, and the current secret the one token; once more is fine."""
    for name in DEFAULT_ROLES:
        settled(partial(_begin_role, name, accounts))
    settled(partial(_begin_user, accounts))
    synchronise(now=now, secret=secret, accounts=accounts)


def _begin_role(name: str, accounts: Accounts) -> None:
    if accounts.role(name) is None:
        accounts.save_role(Role(name=name, permissions=EVERYTHING, creator=DEFAULT_USER), was=None)


def _begin_user(accounts: Accounts) -> None:
    if accounts.user(DEFAULT_USER) is None:
        accounts.save_user(User(name=DEFAULT_USER, roles=(OPERATOR,), creator=DEFAULT_USER), was=None)


def synchronise(*, now: int, secret: Secret, accounts: Accounts) -> None:
    """Make the current secret the deployment's one token."""
    _keep([_checked(secret.current())], now, accounts)


def rotate(step: str, version: str, *, now: int, fresh: str, secret: Secret, accounts: Accounts) -> None:
    """Take one of the steps in which Secrets Manager rotates a secret; each can be taken again."""
    if step == "createSecret":
        if secret.pending(version) is None:
            secret.propose(version, fresh)
        return
    pending = _checked(secret.pending(version) or "")
    if step == "setSecret":
        _keep([_checked(secret.current()), pending], now, accounts)
    elif step == "testSecret":
        if accounts.token(digest(pending)) is None:
            raise Failed("the pending secret does not open the API")
    elif step == "finishSecret":
        secret.promote(version)
        _keep([pending], now, accounts)
    else:
        raise Failed(f"there is no step {step!r} in a rotation")


def _keep(tokens: Collection[str], now: int, accounts: Accounts) -> None:
    settled(partial(accounts.keep_deployment_tokens, [digest(each) for each in tokens], now=now))


def _checked(token: str) -> str:
    """Return a token that is fit for a header and cannot be guessed."""
    if not FIT.fullmatch(token):
        raise Failed(f"the secret is not {SHORTEST} to {LONGEST_KEY} visible ASCII characters")
    return token
