"""Who may do what: permissions, roles, users, and the tokens by which they are known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from atelier.contract.api.roles import RESOURCES
from atelier.contract.values import Value

EVERYTHING = frozenset(f"{resource}:all" for resource in RESOURCES)
"""All that can be held; each includes the other permissions of its resource."""

OPERATOR = "IT Operator"
DEFAULT_ROLES = (OPERATOR, "byoc")
DEFAULT_USER = "api"

Kind = Literal["deployment", "user"]


def allows(held: Collection[str], wanted: str) -> bool:
    """Say whether *held* permissions include *wanted*: ``x:all`` includes everything of ``x``."""
    return wanted in held or f"{wanted.partition(':')[0]}:all" in held


def lacking(held: Collection[str], wanted: Iterable[str]) -> list[str]:
    """Return what of *wanted* the *held* permissions do not include, sorted."""
    return sorted(each for each in wanted if not allows(held, each))


class Role(Value):
    """A named set of permissions; one that is *leaving* gives nobody anything any more.

    Every write makes another *version*, so that a write can name what it replaces.
    """

    name: str
    permissions: frozenset[str]
    creator: str
    leaving: bool = False
    version: str = ""


class User(Value):
    """Somebody who acts; one who is *leaving* cannot any more."""

    name: str
    roles: tuple[str, ...] = ()
    creator: str
    leaving: bool = False
    version: str = ""


class Token(Value):
    """What is known of a token: the digest of its secret, never the secret.

    A token without a *user* is the deployment's own. *created* and *expires* are seconds since the epoch.
    """

    id: str
    sha256: str
    user: str | None = None
    description: str = ""
    created: int
    expires: int | None = None

    def is_expired(self, now: float) -> bool:
        """Say whether the token's time is over."""
        return self.expires is not None and self.expires <= now


class Principal(Value):
    """Whose token a request carries; the authorizer says so and API Gateway hands it on."""

    kind: Kind
    user: str = ""
    token: str = ""
    expires: int | None = None

    def context(self) -> dict[str, str]:
        """Return the authorizer's context; API Gateway takes flat strings."""
        expires = {} if self.expires is None else {"expires": str(self.expires)}
        return {"principal": self.kind, "user": self.user, "token": self.token, **expires}

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> Principal | None:
        """Read the authorizer's context; None when it is not one of ours."""
        kind, user, expires = context.get("principal"), str(context.get("user") or ""), context.get("expires")
        if kind not in ("deployment", "user") or (kind == "user" and not user):
            return None
        return cls(
            kind=kind,
            user=user if kind == "user" else "",
            token=str(context.get("token") or ""),
            expires=int(expires) if expires else None,
        )


class Caller(Value):
    """The acting user with all that their roles allow; *deployment* when the deployment's token acts."""

    user: User
    permissions: frozenset[str] = frozenset()
    deployment: bool = False
    token_expires: int | None = None

    @property
    def name(self) -> str:
        """The acting user's name."""
        return self.user.name

    def may(self, *permissions: str) -> bool:
        """Say whether the caller has one of *permissions*; an operation that names none is for everybody."""
        return not permissions or any(allows(self.permissions, each) for each in permissions)
