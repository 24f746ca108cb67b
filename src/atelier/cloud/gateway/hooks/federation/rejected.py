"""How IAM and STS say that something about a provider or a token does not hold."""

from __future__ import annotations

from xml.sax.saxutils import escape

from atelier.cloud.gateway.hooks.private import use
from atelier.cloud.gateway.hooks.server import Answer


class Rejected(Exception):
    """A request that is refused, with AWS's code for it and the status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status

    def answer(self, service: str) -> Answer:
        """Return the refusal as *service* writes it."""
        error = use("services.iam", "_error", checked=False)
        refused: Answer = error(self.status, self.code, escape(str(self)), ns=service)
        return refused


def written(service: str, operation: str, result: str | None = None) -> Answer:
    """Return the answer of an operation, with its result's members when it has a result."""
    xml = use("services.iam", "_xml", checked=False)
    inner = "" if result is None else f"<{operation}Result>{result}</{operation}Result>"
    answer: Answer = xml(200, f"{operation}Response", inner, ns=service)
    return answer


def element(name: str, value: object) -> str:
    """Return a value as an element of an answer."""
    return f"<{name}>{escape(str(value))}</{name}>"
