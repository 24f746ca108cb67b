"""Tokens: a user's keys to the API, each shown once."""

from __future__ import annotations

from typing import Annotated

from ..schema import About, Number, Text
from ..values import Value

TIME = Text(format="date-time")
LONGEST = 10 * 366 * 24 * 3600
"""Seconds that a token lives at most, when it does not live for ever."""


class CreateTokenRequest(Value):
    """A token to make; its description is for people."""

    description: Annotated[str, Text(max=200)] = ""
    expires_in: (
        Annotated[int, Number(min=60, max=LONGEST), About("Seconds; for ever when left out.")] | None
    ) = None


class Token(Value):
    """A token without its secret."""

    id: str
    username: str
    description: str
    created: Annotated[str, TIME]
    expires: Annotated[str, TIME] | None


class CreatedToken(Value):
    """A new token."""

    token: Token
    secret: Annotated[str, About("The value for x-api-key; it is shown this once.")]


class Tokens(Value):
    """The tokens of a user."""

    tokens: tuple[Token, ...]
    last_evaluated_key: str | None
