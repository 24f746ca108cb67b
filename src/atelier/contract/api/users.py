"""Users: who acts, and what they may do."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from ..schema import About, Items, Text
from ..values import Value
from .roles import NAME

ROLES = Items(min=1, max=20)
USERNAME = Text(min=1, max=200, pattern="^[^/]+$")
"""A user's tokens lie at a path that names the user, where a slash would be another path."""


class CreateUserRequest(Value):
    """A user to make, or to change; *initial* makes the first one, with the deployment's own token."""

    username: Annotated[str, USERNAME]
    password: Annotated[str, Text(max=1024)] | None = field(default=None, repr=False)
    roles: Annotated[tuple[Annotated[str, NAME], ...], ROLES] | None = None
    initial: bool = False
    creator: Annotated[str, Text(max=200)] | None = None


class DeleteUsersRequest(Value):
    """The users to delete; unknown names are fine."""

    user_name_list: Annotated[tuple[Annotated[str, NAME], ...], Items(min=1, max=100)]


class User(Value):
    """A user as it is listed."""

    username: str
    roles: tuple[str, ...]
    creator: str
    permissions: Annotated[tuple[str, ...], About("Sorted.")]
    password: Annotated[str, About("A mask, never the password.")]


class Users(Value):
    """The users."""

    users: tuple[User, ...]
    last_evaluated_key: str | None


class InitialUser(Value):
    """The user that was made first."""

    username: str
    roles: tuple[str, ...]


class CreatedUser(Value):
    """What the maker of the first user is told."""

    user: InitialUser
    all_roles: tuple[str, ...]
