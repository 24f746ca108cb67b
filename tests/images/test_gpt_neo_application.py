from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import httpx
import pytest
from gpt_neo.application import MAX_BODY, Loaded, Service
from gpt_neo.batching import Task
from gpt_neo.errors import Failure
from gpt_neo.prompts import Completion, Limits

JSON = {"Content-Type": "application/json"}


@dataclass
class Echo:
    """Answers with the prompt itself; one character is one token."""

    error: Exception | None = None

    def advance(self, joining: Sequence[Task], leaving: Sequence[Task]) -> Iterable[tuple[Task, Completion]]:
        if self.error and joining:
            raise self.error
        return [
            (
                each,
                Completion(
                    text=each.wish.prompt,
                    finish_reason="end",
                    prompt_tokens=len(each.ids),
                    completion_tokens=2,
                ),
            )
            for each in joining
        ]


@dataclass
class Loading:
    """A model that loads when the test says so."""

    error: Exception | None = None
    engine: Echo = field(default_factory=Echo)
    may_load: threading.Event = field(default_factory=threading.Event)
    given_up: list[str] = field(default_factory=list)

    def __call__(self) -> Loaded:
        self.may_load.wait(5)
        if self.error:
            raise self.error
        limits = Limits(context=40, vocabulary=256, token_bytes=1)
        return Loaded(
            engine=self.engine, encode=lambda text: list(text.encode()), limits=limits, about={"steps": 7}
        )


def visit(loading: Loading, scene: Callable, **limits):
    """Run *scene* with a client of a service that loads as *loading* says."""

    async def run():
        application = Service(load=loading, give_up=loading.given_up.append, **limits).application()
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        async with (
            application.router.lifespan_context(application),
            httpx.AsyncClient(transport=transport, base_url="http://model") as client,
        ):
            try:
                return await scene(client)
            finally:
                loading.may_load.set()

    return asyncio.run(run())


async def until_ping(client: httpx.AsyncClient, status: int) -> httpx.Response:
    async with asyncio.timeout(5):
        while (answer := await client.get("/ping")).status_code != status:
            await asyncio.sleep(0.001)
    return answer


def ask(content: bytes | dict, headers: dict[str, str] = JSON, loading: Loading | None = None, **limits):
    """Post one request to a loaded model."""

    async def scene(client):
        chosen.may_load.set()
        await until_ping(client, 200)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await client.post("/invocations", content=body, headers=headers)

    chosen = loading or Loading()
    return visit(chosen, scene, **limits)


def test_ping_answers_from_the_start_and_is_ready_when_the_model_is():
    async def scene(client):
        before = await client.get("/ping")
        early = await client.post("/invocations", json={"prompt": "a"})
        loading.may_load.set()
        after = await until_ping(client, 200)
        return before.status_code, early.status_code, early.headers["Retry-After"], after.status_code

    loading = Loading()

    assert (503, 503, "1", 200) == visit(loading, scene)


def test_a_model_that_cannot_be_loaded_fails_ping_with_the_reason_and_gives_up():
    async def scene(client):
        loading.may_load.set()
        ping = await until_ping(client, 500)
        return ping.json(), (await client.post("/invocations", json={"prompt": "a"})).status_code

    loading = Loading(error=Failure("config.json missing"))
    reason = "the model cannot be loaded: config.json missing"

    assert ({"message": reason}, 503) == visit(loading, scene)
    assert [reason] == loading.given_up


def test_an_answer_lists_completions_and_tells_the_model():
    answer = ask({"prompt": ["Hä", "b"], "max_new_tokens": 5})

    assert 200 == answer.status_code
    assert {
        "completions": [
            {"text": "Hä", "finish_reason": "end", "prompt_tokens": 3, "completion_tokens": 2},
            {"text": "b", "finish_reason": "end", "prompt_tokens": 1, "completion_tokens": 2},
        ],
        "model": {"steps": 7},
    } == answer.json()


@pytest.mark.parametrize(
    ("content", "headers", "status", "expected"),
    [
        ({"prompt": ""}, JSON, 400, "prompt must not be empty"),
        ({"prompt": "a" * 30, "max_new_tokens": 11}, JSON, 400, "prompt has 30 tokens"),
        (b"{", JSON, 400, "not valid JSON"),
        (b"x" * (MAX_BODY + 1), JSON, 413, f"larger than {MAX_BODY} bytes"),
        (b"{}", {"Content-Type": "text/csv"}, 415, "must be application/json, not text/csv"),
        (b"{}", {}, 415, "must be application/json, not missing"),
    ],
)
def test_a_bad_request_is_refused_with_a_reason(content, headers, status, expected):
    answer = ask(content, headers)

    assert status == answer.status_code
    assert expected in answer.json()["message"]


def test_a_charset_beside_the_content_type_is_fine():
    assert (
        200
        == ask(
            {"prompt": "a", "max_new_tokens": 5}, {"Content-Type": "Application/JSON; charset=utf-8"}
        ).status_code
    )


def test_more_prompts_than_the_queue_holds_are_told_when_to_come_back():
    answer = ask({"prompt": ["a", "b", "c"], "max_new_tokens": 5}, max_queue=2)

    assert (503, "1") == (answer.status_code, answer.headers["Retry-After"])
    assert "too many requests" in answer.json()["message"]


def test_a_mistake_of_ours_keeps_its_details_to_itself():
    broken = Loading(engine=Echo(error=RuntimeError("secret path")))

    answer = ask({"prompt": "a", "max_new_tokens": 5}, loading=broken)

    assert 500 == answer.status_code
    assert {"message": "internal error; the log says more"} == answer.json()


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/invocations", 405), ("GET", "/", 404)])
def test_other_routes_are_refused_in_json(method, path, status):
    async def scene(client):
        return await client.request(method, path)

    answer = visit(Loading(), scene)

    assert status == answer.status_code
    assert "message" in answer.json()
