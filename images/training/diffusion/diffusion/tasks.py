"""What /invocations is asked: a task, the checkpoint it is to use, and the sdapi form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusion import envelope, params
from diffusion.cache import Source
from diffusion.params import Wish


@dataclass(frozen=True, kw_only=True)
class Task:
    """One request, checked."""

    id: str
    source: Source
    wish: Wish
    params: Mapping[str, Any]

    def told(self) -> dict[str, Any]:
        """Return the parameters as the answer repeats them."""
        return envelope.told(self.params)


def parse(body: bytes) -> Task:
    """Read a request; the first thing wrong with it is said by name."""
    given = envelope.parse(body)
    wish = params.parse(given.task_type, given.params)
    return Task(id=given.id, source=given.chosen(wish.checkpoint), wish=wish, params=given.params)
