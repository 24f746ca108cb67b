"""IAM for our own services: who calls, what they may do, and acting as a role."""

from __future__ import annotations

import contextlib
import contextvars
import re
from collections.abc import Iterator, Mapping
from typing import Any

from atelier.cloud.context import Caller, Credentials, InstanceProfile, Refused
from atelier.cloud.gateway.hooks import bus, policies


class GatewayIdentity:
    """The `Identity` of the running cloud, on ministack's users, roles, sessions and policies."""

    def __init__(self, account: str, region: str) -> None:
        self._account = account
        self._region = region
        self._caller: contextvars.ContextVar[Caller | None] = contextvars.ContextVar("caller", default=None)

    def caller(self) -> Caller:
        """Return who signed the request that is being answered, or whom this context acts as."""
        caller = self._caller.get()
        if caller is None:
            raise Refused("nobody signed what is being done here")
        return caller

    def allows(self, caller: Caller, action: str, resource: str, **keys: str) -> bool:
        """Say whether the caller's policies allow the action, given the request's condition keys."""
        what = (action, resource, self._region)
        if caller.access_key:
            return policies.allows_key(caller.access_key, self._account, *what, **keys)
        if caller.role_arn is not None:
            return policies.allows_role(caller.role_arn, *what, **keys)
        if ":user/" in caller.arn:
            return policies.allows_user(caller.arn, *what, **keys)
        return caller.arn == f"arn:aws:iam::{self._account}:root"

    def assume(
        self, role_arn: str, *, service: str, session: str, policy: Mapping[str, Any] | None = None
    ) -> Credentials:
        """Return credentials of the role for *service*; raise Refused unless the role trusts it."""
        if not policies.role_exists(role_arn):
            raise Refused(f"there is no role {role_arn}")
        if not policies.trusts(role_arn, service, self._region):
            raise Refused(f"{service} is not allowed to assume {role_arn}: its trust policy does not name it")
        return policies.assume(role_arn, re.sub(r"[^\w+=,.@-]", "-", session)[:64], policy)

    def serve(self, service: str, action: str, resource: str, *, source_arn: str) -> Credentials:
        """Return credentials for what the policy of *resource* lets an AWS service do; raise Refused."""
        with bus.scope(self._account, self._region):
            if not policies.allows_service(service, action, resource, self._region, source_arn):
                raise Refused(f"the policy of {resource} does not let {service} do {action} for {source_arn}")
            return policies.serve(service, action, resource, self._account)

    def profile(self, name: str) -> InstanceProfile | None:
        """Return the instance profile of a name or an ARN."""
        return policies.profile(name)

    def trusts(self, role_arn: str, service: str) -> bool:
        """Say whether the role's trust policy names *service*."""
        return policies.trusts(role_arn, service, self._region)

    def signer(self, access_key: str) -> Caller | None:
        """Return who stands behind a key that signed a request."""
        found = policies.principal(access_key, self._account)
        return None if found is None else Caller(found.arn, found.role_arn, access_key)

    @contextlib.contextmanager
    def acting_as(self, caller: Caller) -> Iterator[None]:
        """Answer calls made in this context as *caller*."""
        token = self._caller.set(caller)
        try:
            yield
        finally:
            self._caller.reset(token)


def role_session(role_arn: str, session: str) -> Caller:
    """Return the caller that a service acting in *role_arn* is."""
    account, name = role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]
    return Caller(f"arn:aws:sts::{account}:assumed-role/{name}/{session}", role_arn)
