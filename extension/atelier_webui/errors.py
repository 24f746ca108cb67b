"""What can go wrong, in words for the person who asked; no text here holds a token or a presigned link.

Problem
├── InvalidAccount     what was entered is no connection, or there is none of that name
├── Unreachable        nothing answers, or not in time
├── Refusal            the middleware said no, in its own words
├── Incompatible       the middleware speaks another version of the API
├── Misunderstood      an answer that is not what it should be: no JSON, no image
├── Unsupported        something on the form that the cloud cannot do, by name; nothing was sent
├── JobFailed          a job came to nothing
└── Stopped            the person stopped it
"""

from __future__ import annotations

from collections.abc import Sequence


class Problem(Exception):
    """Something that the person who asked can read and act on."""


class InvalidAccount(Problem):
    """What was entered is no connection, or there is none of that name."""


class Unreachable(Problem):
    """Nothing answers, or not in time."""


class Refusal(Problem):
    """The middleware said no, with an HTTP *status*, in its own words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Incompatible(Problem):
    """The middleware speaks another version of the API."""


class Misunderstood(Problem):
    """An answer that is not what it should be."""


class Unsupported(Problem):
    """Something on the form that the cloud cannot do; *names* says what."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"The cloud cannot do this: {', '.join(names)}. Nothing was sent.")
        self.names = tuple(names)


class JobFailed(Problem):
    """The job *id* came to nothing."""

    def __init__(self, id: str, reason: str) -> None:
        super().__init__(f"{reason} (job {id})")
        self.id = id


class Stopped(Problem):
    """The person stopped it."""
