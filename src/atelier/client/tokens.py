"""Tokens of users, made, listed and revoked through the REST API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from atelier.client.middleware import Api


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token without its secret."""

    id: str
    username: str
    description: str
    created: str
    expires: str | None


@dataclass(frozen=True, kw_only=True)
class NewToken:
    """A token just made; its secret is shown this once, and stays out of every other text."""

    token: Token
    secret: str = field(repr=False)


def create(api: Api, username: str, *, description: str = "", expires_in: int | None = None) -> NewToken:
    """Make a token for a user."""
    body: dict[str, Any] = {"description": description}
    if expires_in is not None:
        body["expires_in"] = expires_in
    made = api.call("POST", _path(username), body)
    return NewToken(token=_token(made["token"]), secret=made["secret"])


def listed(api: Api, username: str) -> list[Token]:
    """Return a user's tokens, the oldest first."""
    return [_token(each) for each in api.call("GET", _path(username))["tokens"]]


def revoke(api: Api, username: str, id: str) -> None:
    """Revoke a token: within a minute it opens nothing."""
    api.call("DELETE", f"{_path(username)}/{quote(id, safe='')}")


def _path(username: str) -> str:
    return f"users/{quote(username, safe='')}/tokens"


def _token(document: dict[str, Any]) -> Token:
    return Token(
        id=document["id"],
        username=document["username"],
        description=document["description"],
        created=document["created"],
        expires=document["expires"],
    )
