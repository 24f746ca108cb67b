"""Calls of the middleware: who asks, what becomes of a refusal, and answers as the contract's own classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from atelier_webui import versions
from atelier_webui.accounts import Account, is_word
from atelier_webui.contract.operations import OPERATIONS
from atelier_webui.contract.schema import build, dump
from atelier_webui.errors import Misunderstood, Refusal
from atelier_webui.transport import Answer, Transport, refusal_of_s3

TRANSFER_SECONDS = 60.0
SEND_SECONDS = 20.0
"""Seconds that a block of what is uploaded may take."""


class Calls:
    """One account's middleware, by the operations' ids; close it when it is not needed any more."""

    def __init__(self, account: Account, *, transport: Transport | None = None) -> None:
        self.account = account
        self._transport = transport or Transport(account.url)

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def get(self, link: str) -> bytes:
        """Return what lies where a presigned link says."""
        answer = self._transport.ask("GET", link, timeout=TRANSFER_SECONDS)
        if answer.status != 200:
            raise refusal_of_s3(answer)
        return answer.body

    def put(self, link: str, body: Any, *, once: bool = False) -> str:
        """Put bytes, or an open file, where a presigned link says; return the entity tag.

        What is read as it is sent must be put *once*: who knows where it begins asks again.
        """
        ask = self._transport.once if once else self._transport.ask
        # urllib3 sends under the timeout that connecting has: a slow line must not look like no line
        answer = ask("PUT", link, data=body, connect=SEND_SECONDS, timeout=TRANSFER_SECONDS)
        if answer.status != 200:
            raise refusal_of_s3(answer)
        return answer.headers.get("ETag", "")

    def data(self, operation: str, body: Any = None, **more: Any) -> Any:
        """Return the data of an answer as the class that the contract names for it."""
        answer = self.ask(operation, body, **more)
        cls = OPERATIONS[operation].responses.get(answer.status)
        document = answer.document()
        if cls is not None:
            with suppress(KeyError, TypeError, ValueError, AttributeError, IndexError):
                return build(cls, document["data"])
        raise Misunderstood(f"the middleware's answer to {operation} is not what it should be")

    def ask(
        self, operation: str, body: Any = None, *, query: Mapping[str, Any] | None = None, **at: str
    ) -> Answer:
        """Ask for an operation of the contract; raise Refusal with the middleware's own words."""
        declared = OPERATIONS[operation]
        path = declared.path.format(**{name: quote(each, safe="") for name, each in at.items()})
        headers = {"x-api-key": self.account.token, **_acting(self.account.username)}
        if body is not None:
            headers["Content-Type"] = "application/json"
        answer = self._transport.ask(
            declared.method,
            self.account.url + path.lstrip("/"),
            params=query,
            data=None if body is None else json.dumps(dump(body)).encode(),
            headers=headers,
        )
        versions.check_header(answer.headers)
        if answer.status >= 400:
            raise refusal(answer)
        if answer.status >= 300:
            answer.document()
        return answer


def refusal(answer: Answer) -> Refusal:
    """Return what the middleware said; where that is one word only, with what it means here."""
    said = answer.document().get("message")
    words = said if isinstance(said, str) and said else f"the middleware answered {answer.status}"
    return Refusal(answer.status, MEANING.get((answer.status, words), words))


MEANING: Mapping[tuple[int, str], str] = {
    (403, "Forbidden"): (
        "Forbidden: the middleware does not know this token."
        " It was mistyped or revoked, or belongs to another URL."
    ),
    (
        401,
        "Unauthorized",
    ): "Unauthorized: there is no such user. The deployment's own token needs a user name.",
}


def _acting(username: str) -> dict[str, str]:
    """Return the header that names who acts; a name that cannot stand in a header goes in base16."""
    if not username:
        return {}
    if is_word(username):
        return {"username": username}
    return {"Authorization": f"Bearer {username.encode().hex()}"}
