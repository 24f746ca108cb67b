"""A request of the WebUI's for images, made in the cloud instead.

What makes them is imported by the first request: a WebUI that starts does not wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from atelier_webui import host
from atelier_webui.desk import Desk
from atelier_webui.errors import (
    InvalidAccount,
    JobFailed,
    Problem,
    Refusal,
    Unreachable,
    Unsupported,
)

if TYPE_CHECKING:
    from atelier_webui.contract.api.endpoints import EndpointType
    from atelier_webui.jobs import Choice

TITLE = "Atelier"
"""The script with the accordion; API clients know it by this name."""

CHOICE = "Generate on Atelier"
"""The script that stands in the menu of scripts: whoever selects it means the cloud."""

AUTOMATIC = "Automatic"

_STATUSES: dict[type[Problem], int] = {
    InvalidAccount: 422,
    Unsupported: 422,
    Unreachable: 504,
    JobFailed: 502,
}


@dataclass(frozen=True)
class Switches:
    """What the accordion says, in the order of its controls; an API client may leave the last ones out."""

    on: bool = False
    account: str = ""
    endpoint: str = AUTOMATIC
    checkpoint: str = AUTOMATIC
    wait: bool = True
    vae: str = AUTOMATIC

    @property
    def choice(self) -> Choice:
        """Return where to make it. An endpoint's kind is part of its name, says the contract."""
        from atelier_webui.jobs import Choice

        endpoint = _named(self.endpoint)
        kind: EndpointType = "Real-time" if "-real-time-" in endpoint else "Async"
        checkpoint, vae = _named(self.checkpoint), _named(self.vae)
        return Choice(endpoint=endpoint, checkpoint=checkpoint, kind=kind, vae=vae)


def _named(value: str | None) -> str:
    return "" if value in (None, AUTOMATIC) else str(value)


_NAMES = tuple(each.name for each in fields(Switches))


def switches(values: Sequence[Any]) -> Switches:
    """Return what the controls' values say; what is missing is as it is by itself."""
    given = {name: value for name, value in zip(_NAMES, values, strict=False) if value is not None}
    return Switches(**given)


def make(p: Any, args: Sequence[Any], asked: Switches, *, desk: Desk) -> Any:
    """Return the WebUI's Processed for a request; raise what its page or its API shows."""
    try:
        return _make(p, args, asked, desk)
    except Problem as problem:
        if getattr(p, "is_api", False):
            raise _for_api(problem) from None
        raise


def _make(p: Any, args: Sequence[Any], asked: Switches, desk: Desk) -> Any:
    from atelier_webui.generation import generate
    from atelier_webui.parameters import read

    host.settle_prompts(p)
    form = read(p, args, own=(TITLE, CHOICE), options=host.settings())
    jobs = desk.jobs(asked.account)
    if asked.wait:
        return host.processed(p, generate(form, asked.choice, jobs=jobs, watch=host.StateWatch()))
    ids = jobs.submit(form, asked.choice)
    return host.nothing(
        p, f"Queued on {jobs.client.account.name}: {', '.join(ids)}. The Atelier tab shows it."
    )


def status_of(problem: Problem) -> int:
    """Return the status with which the WebUI's API tells of a problem."""
    return problem.status if isinstance(problem, Refusal) else _STATUSES.get(type(problem), 502)


def _for_api(problem: Problem) -> Exception:
    from atelier_webui import compat

    return compat.refusal(status_of(problem), str(problem))
