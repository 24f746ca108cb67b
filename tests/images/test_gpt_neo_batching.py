from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest
from gpt_neo.batching import Batcher, Full, Task
from gpt_neo.prompts import Completion, Wish


@dataclass
class FakeEngine:
    """Writes one letter a step for everybody in it; keeps what happened."""

    gate: threading.Event = field(default_factory=threading.Event)
    fails_at: int | None = None
    batches: list[list[str]] = field(default_factory=list)
    inside: dict[Task, str] = field(default_factory=dict)

    def advance(self, joining: Sequence[Task], leaving: Sequence[Task]) -> Iterable[tuple[Task, Completion]]:
        self.gate.wait(5)
        for each in leaving:
            self.inside.pop(each, None)
        self.inside.update(dict.fromkeys(joining, ""))
        self.batches.append([each.wish.prompt for each in self.inside])
        if self.fails_at == len(self.batches):
            raise RuntimeError("out of memory")
        self.inside = {each: text + each.wish.prompt[0] for each, text in self.inside.items()}
        done = [each for each, text in self.inside.items() if len(text) == each.wish.max_new_tokens]
        return [(each, completion(self.inside.pop(each))) for each in done]


def completion(text: str) -> Completion:
    return Completion(text=text, finish_reason="length", prompt_tokens=1, completion_tokens=len(text))


def wish(prompt: str, tokens: int = 3) -> tuple[Wish, list[int]]:
    return Wish(prompt=prompt, max_new_tokens=tokens), [1]


@contextlib.asynccontextmanager
async def batcher(engine: FakeEngine, *, max_batch: int = 4, max_queue: int = 8, is_open: bool = True):
    if is_open:
        engine.gate.set()
    made = Batcher(engine, max_batch=max_batch, max_queue=max_queue)
    try:
        yield made
    finally:
        engine.gate.set()
        await made.close()


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def test_one_prompt_is_answered_without_waiting_for_others():
    async def scene():
        engine = FakeEngine()
        async with batcher(engine) as requests:
            return await requests.submit([wish("a")]), engine.batches

    answers, batches = asyncio.run(scene())

    assert [completion("aaa")] == answers
    assert [["a"], ["a"], ["a"]] == batches


def test_who_waits_joins_at_the_next_token_and_who_is_done_leaves():
    async def scene():
        engine = FakeEngine()
        async with batcher(engine, is_open=False) as requests:
            first = asyncio.create_task(requests.submit([wish("a", 2)]))
            await asyncio.sleep(0.02)
            second = asyncio.create_task(requests.submit([wish("b", 2), wish("c", 1)]))
            await asyncio.sleep(0.02)
            engine.gate.set()
            return await asyncio.gather(first, second), engine.batches

    (first, second), batches = asyncio.run(scene())

    assert [["a"], ["a", "b", "c"], ["b"]] == batches
    assert (["aa"], ["bb", "c"]) == ([each.text for each in first], [each.text for each in second])


def test_a_batch_is_never_larger_than_allowed_and_the_first_to_come_go_first():
    async def scene():
        engine = FakeEngine()
        async with batcher(engine, max_batch=2, is_open=False) as requests:
            tasks = [asyncio.create_task(requests.submit([wish(each, 2)])) for each in "abcde"]
            await asyncio.sleep(0.02)
            engine.gate.set()
            await asyncio.gather(*tasks)
            return engine.batches

    batches = asyncio.run(scene())

    assert 2 == max(map(len, batches))
    assert list("abcde") == list(dict.fromkeys(each for batch in batches for each in batch))


def test_a_full_queue_refuses_a_request_whole_and_takes_the_next_that_fits():
    async def scene():
        engine = FakeEngine()
        async with batcher(engine, max_batch=1, max_queue=2, is_open=False) as requests:
            running = asyncio.create_task(requests.submit([wish("a")]))
            await asyncio.sleep(0.02)
            waiting = asyncio.create_task(requests.submit([wish("b")]))
            await asyncio.sleep(0)
            with pytest.raises(Full, match="1 prompts are waiting"):
                await requests.submit([wish("c"), wish("d")])
            fitting = asyncio.create_task(requests.submit([wish("e")]))
            await asyncio.sleep(0)
            engine.gate.set()
            return await asyncio.gather(running, waiting, fitting)

    assert ["aaa", "bbb", "eee"] == [each.text for (each,) in asyncio.run(scene())]


def test_a_client_that_leaves_frees_its_place_in_queue_and_batch():
    async def scene():
        engine = FakeEngine()
        async with batcher(engine, max_batch=1, max_queue=1, is_open=False) as requests:
            running = asyncio.create_task(requests.submit([wish("a", 1000)]))
            await asyncio.sleep(0.02)
            waiting = asyncio.create_task(requests.submit([wish("b")]))
            await asyncio.sleep(0)
            waiting.cancel()
            running.cancel()
            await asyncio.wait([waiting, running])
            engine.gate.set()
            answer = await requests.submit([wish("c", 1)])
            await until(lambda: not engine.inside)
            return answer, engine.batches

    answer, batches = asyncio.run(scene())

    assert [completion("c")] == answer
    assert [["a"], ["c"]] == batches


def test_a_failing_engine_fails_those_in_it_and_serves_the_next():
    async def scene():
        engine = FakeEngine(fails_at=2)
        async with batcher(engine) as requests:
            with pytest.raises(RuntimeError, match="out of memory"):
                await requests.submit([wish("a")])
            return await requests.submit([wish("b")]), engine.inside

    answer, inside = asyncio.run(scene())

    assert [completion("bbb")] == answer
    assert {} == inside


def test_closing_tells_those_who_still_wait():
    async def scene():
        engine = FakeEngine()
        engine.gate.set()
        requests = Batcher(engine, max_batch=1, max_queue=8)
        tasks = [asyncio.create_task(requests.submit([wish(each, 10**9)])) for each in "ab"]
        await until(lambda: engine.batches)
        await requests.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [asyncio.CancelledError] * 2 == [type(each) for each in asyncio.run(scene())]
