"""Users: who acts, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from ..schema import About, Items, Text
from .roles import NAME

ROLES = Items(min=1, max=20)


@dataclass(frozen=True, kw_only=True)
class CreateUserRequest:
    """A user to make, or to change; *initial* makes the first one, with the deployment's own token."""

    username: Annotated[str, NAME]
    password: Annotated[str, Text(max=1024)] | None = field(default=None, repr=False)
    roles: Annotated[tuple[Annotated[str, NAME], ...], ROLES] | None = None
    initial: bool = False
    creator: Annotated[str, Text(max=200)] | None = None


@dataclass(frozen=True, kw_only=True)
class DeleteUsersRequest:
    """The users to delete; unknown names are fine."""

    user_name_list: Annotated[tuple[Annotated[str, NAME], ...], Items(min=1, max=100)]


@dataclass(frozen=True, kw_only=True)
class User:
    """A user as it is listed."""

    username: str
    roles: tuple[str, ...]
    creator: str
    permissions: Annotated[tuple[str, ...], About("Sorted.")]
    password: Annotated[str, About("A mask, never the password.")]


@dataclass(frozen=True, kw_only=True)
class Users:
    """The users."""

    users: tuple[User, ...]
    last_evaluated_key: str | None


@dataclass(frozen=True, kw_only=True)
class InitialUser:
    """The user that was made first."""

    username: str
    roles: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CreatedUser:
    """What the maker of the first user is told."""

    user: InitialUser
    all_roles: tuple[str, ...]
