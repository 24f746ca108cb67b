"""What a client is told when its body is not what it said, or not what S3 takes."""

from __future__ import annotations

from typing import Any

from atelier.cloud.gateway.hooks.private import use

Answer = tuple[int, dict[str, str], Any]


class Refused(Exception):
    """An S3 error: a code, its words, and a status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status

    def answer(self) -> Answer:
        """Return the answer that says so."""
        make = use("services.s3", "_error", "code", "message", "status", "resource", "extra", "headers")
        answer: Answer = make(self.code, str(self), self.status)
        return answer


def incomplete(why: str) -> Refused:
    """Return the refusal of a body that is not framed or not as long as announced."""
    return Refused("IncompleteBody", f"The request body terminated unexpectedly: {why}")
