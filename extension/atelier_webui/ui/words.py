"""Words for the page: every text that comes from elsewhere is escaped here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape

from atelier_webui.errors import Problem


def note(text: str) -> str:
    """Return a line that tells."""
    return f'<p class="atelier-note" role="status">{escape(text)}</p>'


def answered(more: str = "") -> str:
    """Return a mark that is seen by the page alone: no answer has that of another."""
    return f'<span data-atelier-answered="{time.monotonic_ns()}" {more}></span>'


def answered_of(account: str, again: str, menu: str = "atelier_account") -> str:
    """Return the mark of an answer of one *account*: *again* is pressed when the *menu* says another."""
    of = f'data-atelier-of="{escape(account or "")}" data-atelier-in="{menu}"'
    return answered(f'{of} data-atelier-again="{again}"')


def shown(chosen: str, id: str) -> str:
    """Return a mark of what is shown: the page asks again when the field *chosen* says another."""
    return f'<span data-atelier-shown="{escape(id)}" data-atelier-chosen="{chosen}"></span>'


def problem(error: Problem) -> str:
    """Return a line that warns, in the words of what went wrong."""
    return f'<p class="atelier-problem" role="alert">{escape(str(error))}</p>'


def summary(account: str, serving: Sequence[str], endpoints: int, checkpoints: Sequence[str]) -> str:
    """Say what an account offers."""
    ready = f"{len(serving)} of {endpoints} endpoints in service" if endpoints else "no endpoint yet"
    return f"{account}: {ready}, {len(checkpoints)} checkpoints."


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> str:
    """Return a table of texts, or a line that says why there is none."""
    if not rows:
        return note(empty)
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="atelier-scroll"><table class="atelier-table"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def progress(done: int, total: int, text: str) -> str:
    """Return a bar with words beside it."""
    bar = f'<progress max="{max(total, 1)}" value="{done}"></progress>'
    return f'<div class="atelier-progress" role="status">{bar}<span>{escape(text)}</span></div>'


def size(count: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def when(time: str | None) -> str:
    """Return a time of the middleware's to the minute, in UTC as it is told."""
    return (time or "")[:16].replace("T", " ")
