"""Roles: names for sets of permissions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ..schema import Items, Text

NAME = Text(min=1, max=200)
RESOURCES = ("train", "checkpoint", "inference", "sagemaker_endpoint", "user", "role")
ACTIONS = ("all", "create", "list")
PERMISSIONS = tuple(f"{resource}:{action}" for resource in RESOURCES for action in ACTIONS)
"""Every permission that there is."""


@dataclass(frozen=True, kw_only=True)
class CreateRoleRequest:
    """A role to make, or to give other permissions."""

    role_name: Annotated[str, NAME]
    permissions: Annotated[tuple[Annotated[str, NAME], ...], Items(min=1, max=20)]


@dataclass(frozen=True, kw_only=True)
class DeleteRolesRequest:
    """The roles to delete."""

    role_name_list: Annotated[tuple[Annotated[str, NAME], ...], Items(min=1, max=100)]


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role as it is listed."""

    role_name: str
    creator: str
    permissions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Roles:
    """A page of roles."""

    roles: tuple[Role, ...]
    last_evaluated_key: str | None
