"""Where each task stands."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI, Request

from modules import shared

_waiting: dict[str, float] = {}
_done: list[str] = []
_now: list[str] = []


def wait(task: str) -> None:
    """Put a task into the queue."""
    _waiting[task] = time.time()


def start(task: str) -> None:
    """Make a task the one that is worked on."""
    _waiting.pop(task, None)
    _now[:] = [task]


def finish(task: str) -> None:
    """End a task."""
    _now.clear()
    _done.append(task)


def part() -> float:
    """Return how much of the work is done, from 0 to 1."""
    state = shared.state
    if state.job_count <= 0:
        return 0.0
    inside = state.sampling_step / state.sampling_steps if state.sampling_steps else 0.0
    return min((state.job_no + inside) / state.job_count, 1.0)


def setup_progress_api(app: FastAPI) -> None:
    """Answer the page's questions."""

    async def told(request: Request) -> dict[str, Any]:
        task = (await request.json())["id_task"]
        active = task in _now
        return {
            "active": active,
            "queued": task in _waiting,
            "completed": task in _done,
            "progress": part() if active else None,
            "textinfo": shared.state.textinfo if active else "Waiting...",
        }

    app.add_api_route("/internal/progress", told, methods=["POST"])
