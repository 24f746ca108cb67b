"""The cards of jobs: a thumbnail, how it stands, what was asked for; each is a button."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from atelier_webui.errors import Problem
from atelier_webui.ui import words

if TYPE_CHECKING:
    from atelier_webui.contract.api.inferences import Inference
    from atelier_webui.jobs import Jobs

SIDE = 192
AT_ONCE = 6
MOST_KEPT = 400


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is seen of a job."""

    id: str
    status: str
    text: str
    time: str
    picture: str = ""


class Thumbnails:
    """Thumbnails as data URLs; those of jobs that are over never change and are kept."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    def of(self, jobs: Jobs, listed: Sequence[Inference]) -> dict[str, str]:
        """Return what there is, by job; the others are got several at once."""
        done = [each.InferenceJobId for each in listed if each.status == "succeeded"]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda id: self._get(jobs, id), (id for id in done if id not in self._kept)))
        found = {id: self._kept.get(id, "") for id in done}  # another page may have cleared them meanwhile
        return {id: picture for id, picture in found.items() if picture}

    def _get(self, jobs: Jobs, id: str) -> None:
        from atelier_webui.results import thumbnail

        try:
            image = thumbnail(jobs.client.inference(id), jobs.client, size=SIDE)
        except Problem:
            return  # a picture of a picture: its job's own view says what is wrong
        if image is None:
            return
        written = io.BytesIO()
        image.convert("RGB").save(written, "JPEG", quality=80)
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[id] = f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"


def cards(jobs: Jobs, listed: Sequence[Inference], thumbnails: Thumbnails) -> list[Card]:
    """Return what is to be seen of jobs."""
    pictures = thumbnails.of(jobs, listed)
    return [
        Card(
            id=each.InferenceJobId,
            status=each.status,
            text=_asked(jobs, each.InferenceJobId),
            time=words.when(each.createTime),
            picture=pictures.get(each.InferenceJobId, ""),
        )
        for each in listed
    ]


def _asked(jobs: Jobs, id: str) -> str:
    known = jobs.history.find(id)
    return str(known[0].payload.get("prompt", "")) if known else ""


def html(shown: Iterable[Card]) -> str:
    """Return the cards; the page asks again by itself while one of them is not over."""
    made = [_card(each) for each in shown]
    if not made:
        return words.note("There is no such job.")
    return f'<div class="atelier-cards" role="list">{"".join(made)}</div>'


def _card(card: Card) -> str:
    from atelier_webui.jobs import ENDED

    waits = "" if card.status in ENDED else " data-atelier-waits"
    image = f'<img src="{card.picture}" alt="">' if card.picture else '<span class="atelier-blank"></span>'
    id, status, prompt = map(escape, (card.id, card.status, card.text or f"Job {card.id[:8]}"))
    return (
        '<div role="listitem"><button type="button" class="atelier-card" '
        f'data-atelier-job="{id}"{waits}>{image}'
        f'<span class="atelier-status" data-status="{status}">{status}</span>'
        f'<span class="atelier-prompt" title="{prompt}">{prompt}</span>'
        f"<time>{escape(card.time)}</time></button></div>"
    )
