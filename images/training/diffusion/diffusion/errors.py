"""Everything this container refuses, with a text for the person who asked.

Failure         the container cannot run at all
Refused         one request is not answered
├── Invalid     it asks for what cannot be, or what this container does not do
├── Unreachable what it needs cannot be had just now
├── Full        more is waiting than will be answered in time
└── Stopped     nobody waits for the answer any more, or the container ends
"""


class Failure(Exception):
    """The container cannot run; the text says what is wrong, where, and what to do."""


class Refused(Exception):
    """A request that is not answered; the text says why."""


class Invalid(Refused):
    """A request that will never be answered as it is; the text names the field and what it may be."""


class Unreachable(Refused):
    """A request that another attempt may answer."""


class Full(Refused):
    """More is waiting than will be answered in time."""


class Stopped(Refused):
    """Nobody waits for the answer any more, or the container ends."""
