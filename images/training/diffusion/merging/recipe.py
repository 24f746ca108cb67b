"""What is to be merged, and how: the methods, names and rules of AUTOMATIC1111's WebUI."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import MergeError

WEIGHTED_SUM, ADD_DIFFERENCE, NO_INTERPOLATION = "weighted_sum", "add_difference", "no_interpolation"
#: How many checkpoints a method takes.
PARENTS: Mapping[str, int] = {NO_INTERPOLATION: 1, WEIGHTED_SUM: 2, ADD_DIFFERENCE: 3}
#: What the WebUI calls the methods, in its metadata too.
TITLES: Mapping[str, str] = {
    NO_INTERPOLATION: "No interpolation",
    WEIGHTED_SUM: "Weighted sum",
    ADD_DIFFERENCE: "Add difference",
}
PRECISIONS: Mapping[str, str] = {"fp16": "F16", "bf16": "BF16", "fp32": "F32"}


@dataclass(frozen=True)
class Recipe:
    """A method, how much of it, and in what the result is written; without *precision*, as A is."""

    method: str
    multiplier: float = 0.3
    precision: "str | None" = None

    def check(self) -> None:
        """Refuse what cannot be asked for."""
        if self.method not in PARENTS:
            raise MergeError(f"method {self.method!r} is none of {', '.join(PARENTS)}")
        if self.precision is not None and self.precision not in PRECISIONS:
            raise MergeError(f"precision {self.precision!r} is none of {', '.join(PRECISIONS)}")
        if not (math.isfinite(self.multiplier) and 0 <= self.multiplier <= 1):
            raise MergeError(f"multiplier {self.multiplier} is not between 0 and 1")

    def check_parents(self, parents: int) -> None:
        """Refuse another number of checkpoints than the method takes."""
        wanted = PARENTS[self.method]
        if parents != wanted:
            many = "one checkpoint" if wanted == 1 else f"{wanted} checkpoints"
            raise MergeError(f"{self.method} takes {many}, not {parents}")

    @property
    def weights(self) -> "tuple[float, float]":
        """What A and what stands beside it are multiplied by."""
        return (1 - self.multiplier if self.method == WEIGHTED_SUM else 1.0), self.multiplier
