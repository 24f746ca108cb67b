"""Accounts: the named connections of this WebUI, in a file that only its owner may read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Account:
    """A named connection; *username* is for the deployment's own token, which acts for anybody."""

    name: str
    url: str
    token: str = field(repr=False)
    username: str = ""


def account(name: str, url: str, token: str, username: str = "") -> Account:
    """Return a connection of what a person entered; raise InvalidAccount with what is wrong with it."""
    raise NotImplementedError


class Accounts:
    """The connections in one file; made once and shared by all tabs: it may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[Account]:
        """Return the connections, in the order of their names."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """Return the names alone."""
        raise NotImplementedError

    def get(self, name: str) -> Account:
        """Return one; raise InvalidAccount when there is none of that name."""
        raise NotImplementedError

    def add(self, account: Account) -> None:
        """Keep a connection, in the place of one of the same name."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Forget a connection; none is fine."""
        raise NotImplementedError
