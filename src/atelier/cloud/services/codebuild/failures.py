"""How a build can fail or end: each phase records the code and the text."""

from __future__ import annotations


class Failure(Exception):
    """A phase did not succeed; the text says why."""

    code = "CLIENT_ERROR"


class Invalid(Failure):
    """The buildspec cannot be run; the text says where and why."""

    code = "YAML_FILE_ERROR"


class AccessDenied(Failure):
    """The build may not act as its role."""

    code = "ACCESS_DENIED"


class CommandFailed(Failure):
    """A command did not exit successfully."""

    code = "COMMAND_EXECUTION_ERROR"


class Ended(Exception):
    """The whole build was stopped (STOPPED) or ran out of time (TIMED_OUT)."""

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status
