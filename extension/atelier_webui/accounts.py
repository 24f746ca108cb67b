"""Accounts: the named connections of this WebUI, in a file that only its owner may read."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from atelier_webui import addresses, private
from atelier_webui.errors import InvalidAccount

LONGEST_NAME = 64
LONGEST_TOKEN = 256
LONGEST_USERNAME = 200


@dataclass(frozen=True, kw_only=True)
class Account:
    """A named connection; *username* is for the deployment's own token, which acts for anybody."""

    name: str
    url: str
    token: str = field(repr=False)
    username: str = ""


def account(name: str, url: str, token: str, username: str = "") -> Account:
    """Return a connection of what a person entered; raise InvalidAccount with what is wrong with it."""
    name, token, username = name.strip(), token.strip(), username.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidAccount(f"The account needs a name of at most {LONGEST_NAME} characters.")
    if not token or len(token) > LONGEST_TOKEN or not is_word(token):
        raise InvalidAccount("The token must be the one line that was shown when it was made.")
    if not username.isprintable() or len(username) > LONGEST_USERNAME:
        raise InvalidAccount(f"The user name has at most {LONGEST_USERNAME} characters.")
    try:
        return Account(name=name, url=addresses.plain(url), token=token, username=username)
    except ValueError as error:
        raise InvalidAccount(f"The URL cannot be used: {error}.") from None


def is_word(text: str) -> bool:
    """Say whether a text can stand in a header as it is."""
    return text.isascii() and text.isprintable() and " " not in text


class Accounts:
    """The connections in one file; made once and shared by all tabs: it may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def all(self) -> list[Account]:
        """Return the connections, in the order of their names."""
        return sorted(self._read(), key=lambda each: each.name.casefold())

    def names(self) -> list[str]:
        """Return the names alone."""
        return [each.name for each in self.all()]

    def get(self, name: str) -> Account:
        """Return one; raise InvalidAccount when there is none of that name."""
        found = next((each for each in self._read() if each.name == name), None)
        if found is None:
            raise InvalidAccount(f"There is no account {name!r}: add it in the Atelier tab, under Accounts.")
        return found

    def add(self, account: Account) -> bool:
        """Keep a connection, and return whether it is another token of one that was there.

        Raise InvalidAccount when the name is that of another connection.
        """
        with self._lock:
            kept = self._read()
            same = next((each for each in kept if each.name == account.name), None)
            if same and (same.url, same.username) != (account.url, account.username):
                raise InvalidAccount(
                    f"There is an account {account.name!r} of another URL or user already:"
                    " remove that one first, or choose another name."
                )
            self._write([each for each in kept if each is not same] + [account])
            return same is not None

    def remove(self, name: str) -> None:
        """Forget a connection; none is fine."""
        with self._lock:
            self._write([each for each in self._read() if each.name != name])

    def _read(self) -> list[Account]:
        try:
            return [Account(**each) for each in json.loads(private.read(self.path))["accounts"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError):
            # what is in there is somebody's tokens: it is neither shown nor written over
            raise InvalidAccount(
                f"The accounts in {self.path} cannot be read: put the file right, or move it away."
            ) from None

    def _write(self, accounts: Iterable[Account]) -> None:
        text = json.dumps({"accounts": [asdict(each) for each in accounts]}, indent=2)
        try:
            private.write(self.path, text)
        except OSError as error:
            raise InvalidAccount(f"The accounts cannot be kept in {self.path}: {error.strerror}.") from None


def shown(account: Account) -> dict[str, Any]:
    """Return what a page may show of a connection: everything but the token."""
    return {"name": account.name, "url": account.url, "username": account.username}
