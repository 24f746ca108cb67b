"""How SageMaker Runtime says that there is no answer of the model."""

from __future__ import annotations

from typing import Any


class RuntimeFailure(Exception):
    """An answer other than the model's; *code* is the shape's name."""

    def __init__(self, status: int, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.members = members


def invalid(message: str, status: int = 400) -> RuntimeFailure:
    """Return the answer to a request that cannot be."""
    return RuntimeFailure(status, "ValidationError", message)


def unsupported(what: str) -> RuntimeFailure:
    """Return the answer to a request for something that AWS has and the local cloud has not."""
    return invalid(f"{what} is not part of the local cloud")


def model_said(status: int, message: str, log: str) -> str:
    """Return SageMaker's words for a container's error."""
    kind = "client" if 400 <= status < 500 else "server"
    return f'Received {kind} error ({status}) from primary with message "{message}". See {log}'
