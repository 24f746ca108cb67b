"""Roles: names for sets of permissions."""

from __future__ import annotations

from typing import Annotated

from ..schema import Items, Text
from ..values import Value

NAME = Text(min=1, max=200)
RESOURCES = ("train", "checkpoint", "inference", "sagemaker_endpoint", "user", "role")
ACTIONS = ("all", "create", "list")
PERMISSIONS = tuple(f"{resource}:{action}" for resource in RESOURCES for action in ACTIONS)
"""Every permission that there is."""


class CreateRoleRequest(Value):
    """A role to make, or to give other permissions."""

    role_name: Annotated[str, NAME]
    permissions: Annotated[tuple[Annotated[str, NAME], ...], Items(min=1, max=20)]


class DeleteRolesRequest(Value):
    """The roles to delete."""

    role_name_list: Annotated[tuple[Annotated[str, NAME], ...], Items(min=1, max=100)]


class Role(Value):
    """A role as it is listed."""

    role_name: str
    creator: str
    permissions: tuple[str, ...]


class Roles(Value):
    """A page of roles."""

    roles: tuple[Role, ...]
    last_evaluated_key: str | None
