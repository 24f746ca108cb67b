"""Requests share the model's work: whoever waits joins at the next token, whoever is done leaves."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from gpt_neo.prompts import Completion, Wish


@dataclass(eq=False)
class Task:
    """One prompt on its way through the model, and who waits for it."""

    wish: Wish
    ids: list[int]
    answer: asyncio.Future[Completion]


class Engine(Protocol):
    """What makes the tokens; called from one thread, one call at a time."""

    def advance(self, joining: Sequence[Task], leaving: Sequence[Task]) -> Iterable[tuple[Task, Completion]]:
        """Drop *leaving*, take *joining* in, write one token for all; return those that are done."""


class Full(Exception):
    """More is waiting than will be answered in time."""


class Batcher:
    """A bounded queue before an engine.

    No batch is waited for: the engine never rests while somebody waits, and a batch is whoever is there.
    """

    def __init__(self, engine: Engine, *, max_batch: int, max_queue: int) -> None:
        self._engine, self._max_batch, self._max_queue = engine, max_batch, max_queue
        self._waiting: deque[Task] = deque()
        self._running: list[Task] = []
        self._arrival = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._loop = asyncio.create_task(self._run())

    async def submit(self, wanted: Sequence[tuple[Wish, list[int]]]) -> list[Completion]:
        """Complete all of *wanted*, or refuse all of it at once; being cancelled takes it back."""
        self._forget_cancelled()
        if len(self._waiting) + len(wanted) > self._max_queue:
            raise Full(f"{len(self._waiting)} prompts are waiting already")
        future = asyncio.get_running_loop().create_future
        tasks = [Task(wish, ids, future()) for wish, ids in wanted]
        self._waiting.extend(tasks)
        self._arrival.set()
        return await asyncio.gather(*(each.answer for each in tasks))

    async def close(self) -> None:
        """Stop the engine; who still waits is told so."""
        self._loop.cancel()
        await asyncio.wait([self._loop])
        for each in (*self._running, *self._waiting):
            each.answer.cancel()
        self._thread.shutdown()

    async def _run(self) -> None:
        while True:
            if not self._running and not self._waiting:
                self._arrival.clear()
                await self._arrival.wait()
            await self._advance()

    async def _advance(self) -> None:
        """Let the engine write one token for everybody; its failure is theirs, not the next ones'."""
        leaving = [each for each in self._running if each.answer.done()]
        staying = [each for each in self._running if not each.answer.done()]
        self._forget_cancelled()
        free = self._max_batch - len(staying)
        joining = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
        self._running = [*staying, *joining]
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, self._engine.advance, joining, leaving
        )
        try:
            finished = dict(await work)
        except Exception as error:  # whatever the engine says, somebody waits for an answer
            for each in self._running:
                if not each.answer.done():
                    each.answer.set_exception(error)
            return  # they leave the engine in the next round, like those that were cancelled
        for task, completion in finished.items():
            if not task.answer.done():
                task.answer.set_result(completion)
        self._running = [each for each in self._running if each not in finished]

    def _forget_cancelled(self) -> None:
        self._waiting = deque(each for each in self._waiting if not each.answer.cancelled())
