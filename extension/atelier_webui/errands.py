"""Errands: calls that somebody else runs, so that whoever waits can watch the Interrupt button meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Outcome = TypeVar("Outcome")


def begin(call: Callable[Given, Outcome], *args: Given.args, **more: Given.kwargs) -> Future[Outcome]:
    """Call on a thread that keeps nobody from leaving; what it raises is the future's."""
    future: Future[Outcome] = Future()

    def work() -> None:
        try:
            outcome = call(*args, **more)
        except BaseException as error:  # whatever it is, it belongs to who waits
            future.set_exception(error)
        else:
            future.set_result(outcome)

    Thread(target=work, daemon=True, name="atelier-errand").start()
    return future
