"""The two routes SageMaker calls, over whatever completes prompts."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gpt_neo import prompts
from gpt_neo.batching import Batcher, Engine, Full
from gpt_neo.prompts import Completion, Invalid, Limits, Wish

MAX_BODY = 1024 * 1024
#: nginx's word for a client that went away; nobody reads it but the log.
GONE = 499


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that can answer."""

    engine: Engine
    encode: Callable[[str], list[int]]
    limits: Limits
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Service:
    """Load a model in the background, answer when it is there."""

    load: Callable[[], Loaded]
    give_up: Callable[[str], object]
    max_batch: int = 16
    max_queue: int = 64
    loaded: Loaded | None = None
    batcher: Batcher | None = None
    failure: str | None = None

    def application(self) -> Starlette:
        """Build the application; the model loads as soon as it runs."""
        return Starlette(
            routes=[
                Route("/ping", self.ping, methods=["GET"]),
                Route("/invocations", self.invocations, methods=["POST"]),
            ],
            lifespan=self._lifespan,
            exception_handlers={HTTPException: _refuse, Exception: _apologise},
        )

    async def ping(self, request: Request) -> Response:
        """Say whether a prompt would be answered now."""
        if self.failure is not None:
            return _message(500, self.failure)
        return Response(status_code=200) if self.batcher else _message(503, "the model is loading")

    async def invocations(self, request: Request) -> Response:
        """Complete the prompts of one request."""
        started = time.monotonic()
        if self.loaded is None or self.batcher is None:
            return _message(503, self.failure or "the model is loading", retry=1)
        try:
            wishes = await self._wishes(request, self.loaded)
            completions = await _unless_gone(request, self.batcher.submit(wishes))
        except Invalid as error:
            return _message(400, str(error))
        except Full as error:
            return _message(503, f"too many requests: {error}; try again", retry=1)
        except ClientDisconnect:
            return Response(status_code=GONE)
        _log(completions, time.monotonic() - started)
        return JSONResponse(
            {"completions": [asdict(each) for each in completions], "model": self.loaded.about}
        )

    async def _wishes(self, request: Request, loaded: Loaded) -> list[tuple[Wish, list[int]]]:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, f"Content-Type must be application/json, not {kind or 'missing'}")
        wishes = prompts.parse(await _body(request), loaded.limits)
        wanted = [(each, loaded.encode(each.prompt)) for each in wishes]
        for wish, ids in wanted:
            prompts.check_length(wish, len(ids), loaded.limits)
        return wanted

    @asynccontextmanager
    async def _lifespan(self, application: Starlette) -> AsyncIterator[None]:
        loading = asyncio.create_task(self._load())
        yield
        loading.cancel()
        with suppress(asyncio.CancelledError):
            await loading
        if self.batcher:
            await self.batcher.close()

    async def _load(self) -> None:
        try:
            self.loaded = await asyncio.to_thread(self.load)
        except Exception as error:  # whatever it is, /ping says it and the process ends
            self.failure = f"the model cannot be loaded: {error}"
            self.give_up(self.failure)
            return
        self.batcher = Batcher(self.loaded.engine, max_batch=self.max_batch, max_queue=self.max_queue)


async def _body(request: Request) -> bytes:
    """Read the body, but not more than anybody should send."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, f"the body is larger than {MAX_BODY} bytes")
    return bytes(body)


async def _unless_gone(request: Request, answer: Any) -> list[Completion]:
    """Wait for *answer*; take it back when the client hangs up."""
    answering = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ClientDisconnect
        completions: list[Completion] = answering.result()
        return completions
    finally:
        for each in (answering, leaving):
            each.cancel()


async def _gone(request: Request) -> None:
    """Return once the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _log(completions: Sequence[Completion], seconds: float) -> None:
    written = sum(each.completion_tokens for each in completions)
    sys.stdout.write(f"answered prompts={len(completions)} tokens={written} seconds={seconds:.3f}\n")
    sys.stdout.flush()


def _message(status: int, text: str, retry: int | None = None) -> JSONResponse:
    headers = {} if retry is None else {"Retry-After": str(retry)}
    return JSONResponse({"message": text}, status_code=status, headers=headers)


async def _refuse(request: Request, error: Exception) -> Response:
    """Say in JSON what Starlette would say in plain text."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"message": error.detail}, status_code=error.status_code, headers=error.headers)


async def _apologise(request: Request, error: Exception) -> Response:
    """Keep the details of a mistake of ours in the log."""
    return _message(500, "internal error; the log says more")
