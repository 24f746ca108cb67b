"""Work: what trainings, merges and crops have in common; each is a job that runs by itself."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from ..schema import About, Text
from ..values import Value

WorkStatus: TypeAlias = Literal["Starting", "InProgress", "Completed", "Failed", "Stopped"]
"""Starting leads to InProgress; the last three are ends."""

TIME = Text(format="date-time")
LINK = Text(format="uri")
OUTPUT_NAME = Text(min=1, max=80, pattern="^[A-Za-z0-9][A-Za-z0-9_.-]*$")


class LinkedFile(Value):
    """A file, and a link by which it may be read for a short time."""

    filename: str
    url: Annotated[str, LINK]


class Progress(Value):
    """How much of the work is done."""

    done: Annotated[float, About("In the work's own measure: bytes of a merge, files of a crop.")]
    of: float
    at: Annotated[str, TIME]
