from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import pytest
from diffusion.application import Service
from diffusion.errors import Failure, Invalid, Stopped, Unreachable
from diffusion.tasks import Task

JSON = {"Content-Type": "application/json"}
MAX_BODY = 4096
CHECKPOINT = {"name": "one.safetensors", "s3": "s3://bucket/one.safetensors"}
REQUEST = {
    "id": "job-1",
    "task_type": "txt2img",
    "models": {"Stable-diffusion": [CHECKPOINT]},
    "params": {"prompt": "a cat"},
}


@dataclass
class Easel:
    """Answers at once, or when the test lets it, or not at all."""

    error: Exception | None = None
    may_answer: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)
    given_up: int = 0
    closed: bool = False

    def __post_init__(self) -> None:
        self.may_answer.set()

    def answer(self, task: Task, is_over: Callable[[], bool]) -> dict:
        self.started.set()
        while not self.may_answer.wait(0.005):
            if is_over():
                self.given_up += 1
                raise Stopped("nobody waits")
        if self.error:
            raise self.error
        return {"id": task.id, "images": ["cGlj"], "parameters": task.told(), "info": "{}"}

    def close(self) -> None:
        self.closed = True


def visit(easel: Easel, scene: Callable, *, prepare: Callable | None = None, **limits):
    """Run *scene* with a client of a service that answers with *easel*."""

    async def run():
        given_up: list[str] = []
        service = Service(
            prepare=prepare or (lambda: easel), give_up=given_up.append, max_body=MAX_BODY, **limits
        )
        application = service.application()
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        async with (
            application.router.lifespan_context(application),
            httpx.AsyncClient(transport=transport, base_url="http://model") as client,
        ):
            return await scene(client), given_up

    return asyncio.run(run())


async def until_ping(client: httpx.AsyncClient, status: int) -> httpx.Response:
    async with asyncio.timeout(5):
        while (answer := await client.get("/ping")).status_code != status:
            await asyncio.sleep(0.001)
    return answer


def ask(content: bytes | dict = REQUEST, headers: dict[str, str] = JSON, easel: Easel | None = None):
    """Post one request to a service that is ready."""

    async def scene(client):
        await until_ping(client, 200)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await client.post("/invocations", content=body, headers=headers)

    return visit(easel or Easel(), scene)[0]


def test_ping_answers_from_the_start_and_is_ready_when_the_container_is():
    async def scene(client):
        before = await client.get("/ping")
        early = await client.post("/invocations", json=REQUEST)
        may_prepare.set()
        after = await until_ping(client, 200)
        return before.status_code, early.status_code, early.headers["Retry-After"], after.status_code

    easel, may_prepare = Easel(), threading.Event()

    assert (503, 503, "5", 200) == visit(easel, scene, prepare=lambda: may_prepare.wait(5) and easel)[0]
    assert easel.closed


def test_a_container_that_cannot_serve_fails_ping_with_the_reason_and_gives_up():
    def prepare():
        raise Failure("no room")

    async def scene(client):
        return (await until_ping(client, 500)).json()

    reason = "the container cannot serve: no room"

    assert ({"message": reason}, [reason]) == visit(Easel(), scene, prepare=prepare)


def test_an_answer_carries_what_the_contract_says():
    answer = ask()

    assert 200 == answer.status_code
    assert {
        "id": "job-1",
        "images": ["cGlj"],
        "parameters": {"prompt": "a cat"},
        "info": "{}",
    } == answer.json()


@pytest.mark.parametrize(
    ("content", "headers", "status", "expected"),
    [
        (REQUEST | {"task_type": "rembg"}, JSON, 400, "task_type must be one of txt2img, img2img"),
        (b"{", JSON, 400, "not valid JSON"),
        (b"x" * (MAX_BODY + 1), JSON, 413, f"larger than {MAX_BODY} bytes"),
        (b"x", JSON | {"Content-Length": "99999999999"}, 413, f"larger than {MAX_BODY} bytes"),
        (b"{}", {"Content-Type": "text/csv"}, 415, "must be application/json, not text/csv"),
        (b"{}", {}, 415, "must be application/json, not missing"),
    ],
)
def test_a_bad_request_is_refused_with_a_reason(content, headers, status, expected):
    answer = ask(content, headers)

    assert status == answer.status_code
    assert expected in answer.json()["message"]


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [(Invalid("no such key"), 400, None), (Unreachable("S3 is away"), 502, "5"), (Stopped("ends"), 503, "5")],
)
def test_each_refusal_has_its_status(error, status, retry):
    answer = ask(easel=Easel(error=error))

    assert (status, retry, {"message": str(error)}) == (
        answer.status_code,
        answer.headers.get("Retry-After"),
        answer.json(),
    )


def test_a_mistake_of_ours_keeps_its_details_to_itself():
    answer = ask(easel=Easel(error=RuntimeError("secret path")))

    assert (500, {"message": "internal error; the log says more"}) == (answer.status_code, answer.json())


def test_more_requests_than_may_wait_are_told_when_to_come_back():
    async def scene(client):
        await until_ping(client, 200)
        inside = [asyncio.create_task(client.post("/invocations", json=REQUEST)) for _ in range(2)]
        await asyncio.to_thread(easel.started.wait, 5)
        refused = await client.post("/invocations", json=REQUEST)
        easel.may_answer.set()
        statuses = [(await each).status_code for each in inside]
        again = await client.post("/invocations", json=REQUEST)
        return refused, statuses, again.status_code

    easel = Easel()
    easel.may_answer.clear()
    refused, statuses, again = visit(easel, scene, max_queue=2)[0]

    assert (503, "5") == (refused.status_code, refused.headers["Retry-After"])
    assert "too many requests: 2 are waiting already" in refused.json()["message"]
    assert ([200, 200], 200) == (statuses, again)


def test_what_nobody_waits_for_any_more_is_given_up():
    async def scene(client):
        await until_ping(client, 200)
        asking = asyncio.create_task(client.post("/invocations", json=REQUEST))
        await asyncio.to_thread(easel.started.wait, 5)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(5):
            while not easel.given_up:
                await asyncio.sleep(0.005)

    easel = Easel()
    easel.may_answer.clear()
    visit(easel, scene)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/invocations", 405), ("GET", "/", 404)])
def test_other_routes_are_refused_in_json(method, path, status):
    async def scene(client):
        return await client.request(method, path)

    answer = visit(Easel(), scene)[0]

    assert status == answer.status_code
    assert "message" in answer.json()
