"""Cards of what the cloud has or does: a thumbnail, how it stands, what it is; each is a button."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from atelier_webui.ui import words
from atelier_webui.ui.thumbnails import SIDE, Thumbnails

if TYPE_CHECKING:
    from PIL.Image import Image

    from atelier_webui.contract.api.inferences import Inference
    from atelier_webui.jobs import Jobs


PICTURED = frozenset({"job", "training"})
"""The kinds of which there is a picture, sooner or later."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is seen of something; while one *waits*, the page asks for the list again and again."""

    id: str
    status: str
    text: str
    time: str
    picture: str = ""
    waits: bool = False


def cards(jobs: Jobs, listed: Sequence[Inference], thumbnails: Thumbnails) -> list[Card]:
    """Return what is to be seen of jobs."""
    from atelier_webui.jobs import ENDED
    from atelier_webui.results import thumbnail

    def first(id: str) -> Image | None:
        return thumbnail(jobs.client.inference(id), jobs.client, size=SIDE)

    done = [each.InferenceJobId for each in listed if each.status == "succeeded"]
    pictures = thumbnails.of({id: partial(first, id) for id in done})
    return [
        Card(
            id=each.InferenceJobId,
            status=each.status,
            text=_asked(jobs, each.InferenceJobId),
            time=words.when(each.createTime),
            picture=pictures.get(each.InferenceJobId, ""),
            waits=each.status not in ENDED,
        )
        for each in listed
    ]


def _asked(jobs: Jobs, id: str) -> str:
    known = jobs.history.find(id)
    return str(known[0].payload.get("prompt", "")) if known else ""


def html(shown: Iterable[Card], *, of: str = "job", empty: str = "There is no such job.") -> str:
    """Return the cards *of* a kind that the page knows how to choose."""
    made = [_card(each, of) for each in shown]
    if not made:
        return words.note(empty)
    return f'<div class="atelier-cards" role="list">{"".join(made)}</div>'


def cover(picture: str, name: str) -> str:
    """Return a picture, or the first letter of a name where there is none."""
    if picture:
        return f'<img src="{picture}" alt="">'
    return f'<span class="atelier-blank" aria-hidden="true">{escape(name[:1])}</span>'


def _card(card: Card, of: str) -> str:
    waits = " data-atelier-waits" if card.waits else ""
    id, status, text = map(escape, (card.id, card.status, card.text or f"{of.capitalize()} {card.id[:8]}"))
    return (
        '<div role="listitem"><button type="button" class="atelier-card" '
        f'data-atelier-{of}="{id}"{waits}>{cover(card.picture, card.text) if of in PICTURED else ""}'
        f'<span class="atelier-status" data-status="{status}">{status}</span>'
        f'<span class="atelier-prompt" title="{text}">{text}</span>'
        f"<time>{escape(card.time)}</time></button></div>"
    )
