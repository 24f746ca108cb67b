"""What may go wrong, in words for a person.

Problem                 the text says what, where, and what to do about it
├── NotDeployed         a stack or a resource of ours is not there yet
├── NotFound            there is no pipeline, model or execution of that name
└── Refusal             it is there, and answered no
"""

from __future__ import annotations


class Problem(Exception):
    """Something a person can act on; never shown as a traceback."""


class NotDeployed(Problem):
    """A stack or a resource of ours is not there yet."""


class NotFound(Problem):
    """There is nothing of that name."""


class Refusal(Problem):
    """The service answered, and its answer is no."""
