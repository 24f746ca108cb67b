"""Work: trainings, merges and crops, each a job that a state machine sees through."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from atelier.contract import keys
from atelier.contract.values import Value
from atelier.lambdas.domain.accounts import Caller
from atelier.lambdas.errors import Conflict

Kind = Literal["lora", "merge", "crop"]
Status = Literal["Starting", "InProgress", "Completed", "Failed", "Stopped"]

FOLLOWS: Mapping[Status, frozenset[Status]] = {
    "Starting": frozenset({"InProgress", "Completed", "Failed", "Stopped"}),
    "InProgress": frozenset({"Completed", "Failed", "Stopped"}),
    "Completed": frozenset(),
    "Failed": frozenset(),
    "Stopped": frozenset(),
}

FRUITLESS: frozenset[Status] = frozenset({"Failed", "Stopped"})
"""The ends of work that has made nothing."""

WORDS: Mapping[str, str] = {"lora": "training", "merge": "merge", "crop": "crop"}
"""What people call each kind."""

LONGEST_ERROR = 1024
METRICS, LOG, RESULT, SAMPLES = "metrics.jsonl", "log.txt", "result.json", "samples/"


class Parent(Value):
    """A checkpoint that is worked on."""

    id: str
    name: str
    s3: str
    sha256: str = ""


class Work(Value):
    """One training, merge or crop of a user.

    *request* is what was asked, as JSON; *result* is the id of the checkpoint, or the name of the dataset,
    that it makes, which is reserved from the beginning; *name* is what that is called. *source* is where its
    pictures lie, if it takes any. Work that has ended without success *owes* what it had reserved, until
    that is given back.
    """

    id: str
    kind: Kind
    creator: str
    created: str
    status: Status = "Starting"
    name: str
    result: str
    output: str
    request: str
    instance_type: str
    parents: tuple[Parent, ...] = ()
    dataset: str = ""
    source: str = ""
    completed: str = ""
    error: str = ""
    owes: bool = False
    version: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether nothing can happen to the work any more."""
        return not FOLLOWS[self.status]

    @property
    def is_watched(self) -> bool:
        """Whether something is left to do, so that the reconciler looks after it."""
        return self.owes or not self.is_finished

    @property
    def word(self) -> str:
        """What people call this kind of work."""
        return WORDS[self.kind]

    @property
    def job(self) -> str:
        """The name of the job in SageMaker."""
        return f"{self.kind}-{self.id}"

    @property
    def folder(self) -> str:
        """Where all that belongs to the work lies, but for what it makes."""
        return f"{keys.WORK}{self.id}/"

    @property
    def config_key(self) -> str:
        """What the container is asked."""
        return f"{self.folder}config.json"

    @property
    def report(self) -> str:
        """Where the container tells how far it is."""
        return f"{self.folder}report/"

    @property
    def asked(self) -> dict[str, Any]:
        """Return what was asked."""
        found: dict[str, Any] = json.loads(self.request)
        return found

    def to(self, status: Status, **changes: Any) -> Work:
        """Return this work in *status*; refuse a step that is not allowed."""
        if status not in FOLLOWS[self.status]:
            raise Conflict(f"{self.word} {self.id} is {self.status}, cannot become {status}")
        return replace(self, status=status, owes=status in FRUITLESS, **changes)

    def failed(self, why: str, now: str) -> Work:
        """Return this work as one that came to nothing."""
        return self.to("Failed", completed=now, error=why[:LONGEST_ERROR])

    def is_of(self, caller: Caller, everybodys: str) -> bool:
        """Say whether the caller may stop it."""
        return caller.may(everybodys) or caller.name == self.creator
