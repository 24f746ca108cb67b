"""The values around the serving fleet: what has landed, what is tried, and what serves."""

from __future__ import annotations

from atelier.contract import fleet
from atelier.contract.fleet import Model
from atelier.contract.values import Value
from atelier.lambdas.errors import Invalid


class Landed(Value):
    """The current version of a model's object, as the bucket lists it; *beside* is its SHA-256's version."""

    name: str
    bucket: str
    key: str
    version_id: str
    size: int
    landed: str
    beside: str = ""
    beside_landed: str = ""

    @property
    def id(self) -> str:
        """What tells this landing from every other; a corrected SHA-256 makes it another one."""
        whole = fleet.identity(self.key, self.version_id)
        return f"{whole}+{self.beside}" if self.beside else whole


class Trial(Value):
    """A model that is being brought to the fleet; it has a *definition* once ECS was told.

    *before* is the revision that tasks ran until then.
    """

    landing: str
    model: Model
    began: str
    before: str = ""
    version: int = 0
    definition: str = ""


class State(Value):
    """What serves, with the landing it came by, and what is tried."""

    serving: Model | None = None
    landing: str = ""
    trial: Trial | None = None
    revision: int = 0

    @property
    def newest(self) -> Model | None:
        """What no older model may replace."""
        return self.trial.model if self.trial else self.serving


class Record(Value):
    """What became of a model that has landed."""

    id: str
    name: str
    key: str
    version_id: str
    landed: str
    status: str
    at: str
    sha256: str = ""
    size: int = 0
    reason: str = ""


class Sight(Value):
    """The service as ECS has it: the version of the parameter that its tasks read, and how its rollout goes.

    There is no *version* where tasks read the newest.
    """

    definition: str
    version: int | None
    rollout: str
    desired: int
    reason: str = ""


class Look(Value):
    """What one look came to."""

    outcome: str
    summary: str
    landing: str = ""


def digest(text: str) -> str:
    """Return the SHA-256 that a file beside a model says, as sha256sum writes it or alone."""
    word = (text.split() or [""])[0].lower()
    if not fleet.SHA256.fullmatch(word):
        raise Invalid("the file beside the model holds no SHA-256 of 64 hexadecimal digits")
    return word
