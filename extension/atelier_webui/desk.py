"""The desk: what this WebUI keeps of its accounts and jobs, and the connections it has open.

What a connection is made of is imported when there is one: a WebUI that starts does not wait for it.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from atelier_webui.accounts import Account, Accounts
from atelier_webui.errors import InvalidAccount

if TYPE_CHECKING:
    from atelier_webui.client import Client
    from atelier_webui.jobs import Jobs

NO_ACCOUNT = "There is no account yet: add one in the Atelier tab, under Accounts."


class Desk:
    """One for the process; it remembers nothing of a browser tab: whoever asks names the account."""

    def __init__(self, folder: Path) -> None:
        self.accounts = Accounts(folder / "accounts.json")
        self._folder = folder
        self._clients: dict[Account, Client] = {}
        self._lock = Lock()

    def names(self) -> list[str]:
        """Return the names of the accounts; none when the file cannot be read, as `client` then says."""
        try:
            return self.accounts.names()
        except InvalidAccount:
            return []

    def first(self) -> str:
        """Return the name of the first account, or an empty one."""
        return next(iter(self.names()), "")

    def client(self, name: str) -> Client:
        """Return an account's connection, the first one's when none is named; raise InvalidAccount."""
        wanted = name or next(iter(self.accounts.names()), "")
        if not wanted:
            raise InvalidAccount(NO_ACCOUNT)
        return self.connect(self.accounts.get(wanted))

    def connect(self, account: Account) -> Client:
        """Return a connection that was opened before, for it is faster, or a new one."""
        from atelier_webui.client import Client

        with self._lock:
            return self._clients.setdefault(account, Client(account))

    def jobs(self, name: str) -> Jobs:
        """Return the jobs of an account."""
        from atelier_webui.jobs import History, Jobs

        return Jobs(self.client(name), History(self._folder / "history"))
