"""Who stands behind the token of a request, for every function that acts for a user."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

from atelier.contract.values import Value
from atelier.lambdas.bootstrap import accounts as wiring
from atelier.lambdas.domain.accounts import Caller, Principal
from atelier.lambdas.ports.accounts import Accounts
from atelier.lambdas.services.middleware import access
from atelier.lambdas.services.middleware.throttling import Allowance


class Callers(Value):
    """Who stands behind a token; nobody asks more often than a user may."""

    accounts: Accounts
    allowance: Allowance
    clock: Callable[[], float] = time.time

    def caller(self, principal: Principal, username: str | None) -> Caller:
        """Return who acts: raise Unauthenticated for nobody, Refused for a name that is not the token's."""
        found = access.caller(principal, username, accounts=self.accounts)
        self.allowance.admit(found.name, now=self.clock())
        return found


@cache
def callers() -> Callers:
    """Return those of this function's deployment."""
    ports = wiring.access()
    return Callers(accounts=ports.accounts, allowance=Allowance(rates=ports.rates, limit=ports.user_requests))
