"""Words for the page: every text that comes from elsewhere is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from atelier_webui.errors import Problem


def note(text: str) -> str:
    """Return a line that tells."""
    return f'<p class="atelier-note" role="status">{escape(text)}</p>'


def problem(error: Problem) -> str:
    """Return a line that warns, in the words of what went wrong."""
    return f'<p class="atelier-problem" role="alert">{escape(str(error))}</p>'


def summary(account: str, serving: Sequence[str], endpoints: int, checkpoints: Sequence[str]) -> str:
    """Say what an account offers."""
    ready = f"{len(serving)} of {endpoints} endpoints in service" if endpoints else "no endpoint yet"
    return f"{account}: {ready}, {len(checkpoints)} checkpoints."
