"""What services raise.

ServiceError                the text says what and why; a person may read it
├── NotFound                what was asked for is not there
├── Conflict                it is there, but not in a state that allows this
├── Invalid                 what was asked makes no sense
├── TooLarge                a request is longer than what is read
├── Unauthenticated         nobody knows who asks
├── Refused                 who asks may not do this
├── Busy                    not now, later
│   └── Throttled           asked too often; the same later may succeed
└── Failed                  something that was waited for has failed
    ├── TimedOut            it gave no answer in time
    └── GateRefused         a trained model is not good enough to be shown to anyone

A document that is not what its class says is the contract's own Invalid.
"""

from __future__ import annotations


class ServiceError(Exception):
    """A failure that a service foresees; its text is for a person."""


class NotFound(ServiceError):
    """What was asked for is not there."""


class Conflict(ServiceError):
    """It is there, but not in a state that allows this."""


class Invalid(ServiceError):
    """What was asked makes no sense."""


class TooLarge(ServiceError):
    """A request is longer than what is read."""


class Unauthenticated(ServiceError):
    """Nobody knows who asks."""


class Refused(ServiceError):
    """Who asks may not do this."""


class Busy(ServiceError):
    """Not now; the same later may succeed."""


class Throttled(Busy):
    """Asked too often; the same may succeed after some *seconds*, where they were told."""

    def __init__(self, text: str, seconds: float = 0) -> None:
        super().__init__(text)
        self.seconds = seconds


class Failed(ServiceError):
    """Something that was waited for has failed."""


class TimedOut(Failed):
    """Something that was waited for gave no answer in time."""


class GateRefused(Failed):
    """A trained model is not good enough to be shown to anyone."""
