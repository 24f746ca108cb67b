"""The two routes SageMaker calls, over whatever answers tasks."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from diffusion import tasks
from diffusion.errors import Full, Invalid, Refused, Stopped, Unreachable
from diffusion.tasks import Task

#: nginx's word for a client that went away; nobody reads it but the log.
GONE = 499
STATUS: Mapping[type[Refused], int] = {Invalid: 400, Unreachable: 502, Full: 503, Stopped: 503}
RETRY = {"Retry-After": "5"}

IsOver = Callable[[], bool]


class Answerer(Protocol):
    """What makes the images; called from many threads."""

    def answer(self, task: Task, is_over: IsOver) -> dict[str, Any]:
        """Answer a task, or give up when it is over."""

    def close(self) -> None:
        """Stop what can be stopped."""


@dataclass(kw_only=True)
class Service:
    """Get ready in the background; then answer, with a bounded number of requests inside."""

    prepare: Callable[[], Answerer]
    give_up: Callable[[str], None]
    max_queue: int = 16
    max_body: int = 32 * 1024 * 1024
    studio: Answerer | None = None
    failure: str | None = None
    inside: int = 0
    ending: threading.Event = field(default_factory=threading.Event)

    def application(self) -> Starlette:
        """Build the application; it gets ready as soon as it runs."""
        return Starlette(
            routes=[
                Route("/ping", self.ping, methods=["GET"]),
                Route("/invocations", self.invocations, methods=["POST"]),
            ],
            lifespan=self._lifespan,
            exception_handlers={HTTPException: _explain, Refused: _refuse, Exception: _apologise},
        )

    async def ping(self, request: Request) -> Response:
        """Say whether a task would be answered now."""
        if self.failure is not None:
            return _message(500, self.failure)
        return Response(status_code=200) if self.studio else _message(503, "the container is getting ready")

    async def invocations(self, request: Request) -> Response:
        """Answer one task."""
        if self.studio is None:
            return _message(503, self.failure or "the container is getting ready", RETRY)
        if self.inside >= self.max_queue:
            raise Full(f"too many requests: {self.inside} are waiting already; try again")
        self.inside += 1
        started = time.monotonic()
        try:
            body = await self._body(request)
            answer = await self._unless_gone(request, self.studio, body)
        except ClientDisconnect:
            return Response(status_code=GONE)
        finally:
            self.inside -= 1
        _log(len(answer["images"]), time.monotonic() - started)
        return JSONResponse(answer)

    async def _body(self, request: Request) -> bytes:
        """Read the body, but not more than anybody should send."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, f"Content-Type must be application/json, not {kind or 'missing'}")
        announced = request.headers.get("content-length", "0")
        body = bytearray()
        if announced.isdecimal() and int(announced) <= self.max_body:
            async for chunk in request.stream():
                body += chunk
                if len(body) > self.max_body:
                    break
            else:
                return bytes(body)
        raise HTTPException(413, f"the body is larger than {self.max_body} bytes")

    async def _unless_gone(self, request: Request, studio: Answerer, body: bytes) -> dict[str, Any]:
        """Answer in a thread; give it up when the client hangs up or the container ends."""
        over = threading.Event()

        def work() -> dict[str, Any]:
            return studio.answer(tasks.parse(body), lambda: over.is_set() or self.ending.is_set())

        answering = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(self._threads, work))
        leaving = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise ClientDisconnect
            answer: dict[str, Any] = answering.result()
            return answer
        finally:
            over.set()
            leaving.cancel()

    @asynccontextmanager
    async def _lifespan(self, application: Starlette) -> AsyncIterator[None]:
        self._threads = ThreadPoolExecutor(self.max_queue, thread_name_prefix="request")
        preparing = asyncio.create_task(self._prepare())
        yield
        self.ending.set()
        if self.studio:
            self.studio.close()
        preparing.cancel()
        with suppress(asyncio.CancelledError):
            await preparing

    async def _prepare(self) -> None:
        try:
            self.studio = await asyncio.to_thread(self.prepare)
        except Exception as error:  # whatever it is, /ping says it and the process ends
            self.failure = f"the container cannot serve: {error}"
            self.give_up(self.failure)


async def _gone(request: Request) -> None:
    """Return once the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _log(images: int, seconds: float) -> None:
    sys.stdout.write(f"answered images={images} seconds={seconds:.3f}\n")
    sys.stdout.flush()


def _message(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"message": text}, status_code=status, headers=headers)


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer with the status this error stands for."""
    assert isinstance(error, Refused)
    status = STATUS[type(error)]
    return _message(status, str(error), RETRY if status > 500 else None)


async def _explain(request: Request, error: Exception) -> Response:
    """Say in JSON what Starlette would say in plain text."""
    assert isinstance(error, HTTPException)
    return _message(error.status_code, error.detail, error.headers)


async def _apologise(request: Request, error: Exception) -> Response:
    """Keep the details of a mistake of ours in the log."""
    return _message(500, "internal error; the log says more")
