"""The functions behind the middleware's API: one for each family of operations, with a role of its own."""

from __future__ import annotations

from collections.abc import Mapping

from troposphere import Template, awslambda

from atelier.templates import middleware_parts as middle
from atelier.templates.middleware_parts import READ, WRITE, on, telling_who_asks


def add_families(t: Template) -> Mapping[str, awslambda.Function]:
    """Add the functions; return them by the family of operations that they answer."""
    return {
        "meta": meta(t),
        "roles": roles(t),
        "users": users(t),
    }


def meta(t: Template) -> awslambda.Function:
    """Say that the API is there, and describe it."""
    return middle.function(
        t,
        "Meta",
        module="meta",
        settings=awslambda.Environment(Variables={}),
        may=[],
        why="Answers /, /ping and /api",
    )


def roles(t: Template) -> awslambda.Function:
    """Make, list and delete roles."""
    return middle.function(
        t,
        "Roles",
        module="roles",
        settings=middle.access(),
        may=[*telling_who_asks(), on(middle.ACCOUNTS, *READ, *WRITE)],
        why="Answers /roles",
    )


def users(t: Template) -> awslambda.Function:
    """Make, list and delete users and their tokens."""
    return middle.function(
        t,
        "Users",
        module="users",
        settings=middle.access(),
        may=[*telling_who_asks(), on(middle.ACCOUNTS, *READ, *WRITE)],
        why="Answers /users",
    )
