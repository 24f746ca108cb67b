"""One piece of work at a time."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from modules import errors, progress, shared

queue_lock = threading.Lock()


def wrap_queued_call(work: Callable[..., Any]) -> Callable[..., Any]:
    """Do it when nothing else is done."""

    def queued(*arguments: Any, **named: Any) -> Any:
        with queue_lock:
            return work(*arguments, **named)

    return queued


def wrap_gradio_gpu_call(work: Callable[..., Any], extra_outputs: list[Any]) -> Callable[..., Any]:
    """Do it in turn, watched by the progress bar; an error becomes the last output."""

    @wraps(work)
    def in_turn(id_task: str, *arguments: Any) -> Any:
        progress.wait(id_task)
        with queue_lock:
            shared.state.begin(job=id_task)
            progress.start(id_task)
            started = time.perf_counter()
            try:
                outputs = list(work(id_task, *arguments))
            except Exception as error:
                errors.report("Error completing request", exc_info=True)
                outputs = [
                    *extra_outputs,
                    f"<div class='error'>{html.escape(f'{type(error).__name__}: {error}')}</div>",
                ]
            finally:
                progress.finish(id_task)
                shared.state.end()
        outputs[-1] += f"<p class='time'>Time taken: {time.perf_counter() - started:.2f} sec.</p>"
        return tuple(outputs)

    return in_turn
