"""Lambda's warm workers: an invocation waits for one rather than start another beside it.

AWS has room for a new environment at once. On a machine of few cores every cold start slows the workers that
run, so that more invocations find none free and start more: a crowd would spend its time on imports.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from atelier.cloud.gateway.hooks.private import replace, use

RUNTIME = "core.lambda_runtime"
LAMBDA = "services.lambda_svc"
LONGEST = 10.0
"""A worker that has not started by then may never: those who wait try their own."""
LOOK = 0.05


def install() -> None:
    """Let invocations of one function stand in line."""
    lines = Lines()
    acquire = ("func_name", "config", "code_zip", "qualifier", "max_concurrency")
    for module in (RUNTIME, LAMBDA):
        replace(module, "acquire_worker", *acquire, by=lines.acquiring)
        replace(module, "release_worker", "worker", by=lines.releasing)


class Lines:
    """The lines before all functions, each with the pool of workers that it waits for."""

    def __init__(self) -> None:
        self._key = use(RUNTIME, "_worker_key", "func_name", "config", "qualifier")
        self._workers = use(RUNTIME, "_workers", checked=False)
        self._lock = use(RUNTIME, "_lock", checked=False)
        self._lines: dict[str, Line] = {}

    def acquiring(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return `acquire_worker` that waits for its turn."""

        def acquire_worker(
            func_name: str,
            config: Any,
            code_zip: bytes,
            qualifier: str = "$LATEST",
            max_concurrency: Any = None,
        ) -> Any:
            key = self._key(func_name, config, qualifier)

            def take() -> Any:
                return original(func_name, config, code_zip, qualifier, max_concurrency)

            return self._line(key).wait(lambda: self._pool(key), take)

        return acquire_worker

    def releasing(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return `release_worker` that tells who waits."""

        def release_worker(worker: Any) -> None:
            original(worker)
            if worker is not None:
                version = worker.config.get("Version", "$LATEST")
                self._line(self._key(worker.func_name, worker.config, version)).move()

        return release_worker

    def _line(self, key: str) -> Line:
        return self._lines.setdefault(key, Line())

    def _pool(self, key: str) -> list[Any]:
        with self._lock:
            return list(self._workers.get(key, ()))


class Line:
    """Who waits for a worker of one function, first come, first served."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()

    def wait(self, pool: Callable[[], list[Any]], take: Callable[[], Any]) -> Any:
        """Take a worker once there is one, or when another one is worth its start."""
        called, since = threading.Event(), time.monotonic()
        self._waiting.append(called)
        try:
            while True:
                with self._guard:
                    if self._waiting[0] is called and _served(pool(), time.monotonic() - since):
                        return take()
                called.wait(LOOK)
                called.clear()
        finally:
            with self._guard:
                self._waiting.remove(called)
            self.move()

    def move(self) -> None:
        """Call the first in line: a worker may be free."""
        with self._guard:
            if self._waiting:
                self._waiting[0].set()


def _served(pool: list[Any], waited: float) -> bool:
    """Say whether the first in line need not wait on: it has waited as long as a start would take."""
    if not pool or waited > LONGEST or any(not each.in_use for each in pool):
        return True
    starts = [getattr(each, "seconds_to_start", LONGEST) for each in pool]
    return waited > max(starts)
