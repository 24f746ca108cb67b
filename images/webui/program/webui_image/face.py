"""SageMaker's face of the WebUI: a port, a ping, and tasks."""

import contextlib
import json
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from diffusion.errors import Full, Invalid, Refused, Stopped, Unreachable

from webui_image import child
from webui_image.settings import Settings
from webui_image.webui import WebUI

#: The script by which our extension is known to the WebUI.
EXTENSION = "atelier"
#: How long /ping tells why the container cannot serve, before the process ends.
LINGER_SECONDS = 1.0
POLL_SECONDS = 0.25
STATUS: Mapping[type[Refused], int] = {Invalid: 400, Unreachable: 502, Full: 503, Stopped: 503}
RETRY = {"Retry-After": "5"}

Answer = Callable[[bytes, Callable[[], bool]], dict[str, Any]]


class Problem(Exception):
    """A request that is answered with a status and a text."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, headers or {}


class Service:
    """Ready or not; then it answers, with a bounded number of requests inside."""

    def __init__(self, max_queue: int, max_body: int) -> None:
        self.max_body = max_body
        self.answer: Answer | None = None
        self.close: Callable[[], None] = lambda: None
        self.failure: str | None = None
        self.ending = threading.Event()
        self._threads = ThreadPoolExecutor(max_queue, thread_name_prefix="task")
        self._places = threading.BoundedSemaphore(max_queue)

    def ping(self) -> None:
        """Raise what is wrong, if a task would not be answered now."""
        if self.failure:
            raise Problem(500, self.failure)
        if self.answer is None:
            raise Problem(503, "the WebUI is getting ready", RETRY)

    def invoke(self, body: bytes, is_gone: Callable[[], bool]) -> bytes:
        """Answer a task, and give it up when whoever asked is gone or the container ends."""
        self.ping()
        assert self.answer is not None
        if not self._places.acquire(blocking=False):
            raise Problem(503, "too many requests are waiting already; try again", RETRY)
        started, over = time.monotonic(), threading.Event()
        try:
            work = self._threads.submit(self.answer, body, lambda: over.is_set() or self.ending.is_set())
            self._wait(work, is_gone)
            found = work.result()
        except Refused as error:
            status = STATUS[type(error)]
            raise Problem(status, str(error), RETRY if status > 500 else None) from error
        finally:
            over.set()
            self._places.release()
        sys.stdout.write(f"answered images={len(found['images'])} seconds={time.monotonic() - started:.3f}\n")
        return json.dumps(found).encode()

    def end(self) -> None:
        """Give up all that is going on: a thread that still fetches a checkpoint would hold the end up."""
        self.ending.set()
        self.close()

    def _wait(self, work: "Future[dict[str, Any]]", is_gone: Callable[[], bool]) -> None:
        while not work.done():
            with contextlib.suppress(TimeoutError):
                work.exception(POLL_SECONDS)
            if not work.done() and is_gone():
                raise Stopped("nobody waits for these images any more")


class Handler(BaseHTTPRequestHandler):
    """The two routes."""

    protocol_version = "HTTP/1.1"
    service: Service

    def do_GET(self) -> None:
        """Answer /ping."""
        self._answered(self._ping)

    def do_POST(self) -> None:
        """Answer /invocations."""
        self._answered(self._invoke)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: every request would be a line, and SageMaker pings all the time."""

    def _ping(self) -> bytes:
        if self.path.partition("?")[0] != "/ping":
            raise Problem(404, "there are GET /ping and POST /invocations")
        self.service.ping()
        return b""

    def _invoke(self) -> bytes:
        body = self._body()
        if self.path.partition("?")[0] != "/invocations":
            raise Problem(404, "there are GET /ping and POST /invocations")
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Problem(415, f"Content-Type must be application/json, not {kind or 'missing'}")
        return self.service.invoke(body, self._is_gone)

    def _body(self) -> bytes:
        announced = self.headers.get("Content-Length", "")
        if not announced.isdecimal():
            self.close_connection = True
            raise Problem(411, "Content-Length must say how long the body is")
        if int(announced) > self.service.max_body:
            self.close_connection = True
            raise Problem(413, f"the body is larger than {self.service.max_body} bytes")
        return self.rfile.read(int(announced))

    def _is_gone(self) -> bool:
        """Say whether the other side has hung up."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _answered(self, work: Callable[[], bytes]) -> None:
        headers: Mapping[str, str] = {}
        try:
            status, body = 200, work()
        except Problem as problem:
            status, headers = problem.status, problem.headers
            body = json.dumps({"message": str(problem)}).encode()
        except Exception as error:  # the edge: the log says more, and the text of it may be private
            sys.stderr.write(f"internal error: {type(error).__name__}: {error}\n")
            status, body = 500, b'{"message": "internal error; the log says more"}'
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """One thread a request; none of them holds the end up."""

    daemon_threads = True
    request_queue_size = 128


def serve(settings: Settings) -> int:
    """Serve until SIGTERM; 0 if it ended as asked, 1 if it could never serve or the WebUI ended."""
    service = Service(settings.max_queue, settings.max_body)
    server = Server((settings.host, settings.face_port), type("Bound", (Handler,), {"service": service}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: service.ending.set())
    port = _free_port()
    shown = settings.checkpoints / "shown"
    shown.mkdir(parents=True, exist_ok=True)
    api = ["--nowebui", "--api", "--server-name", "127.0.0.1", "--port", str(port), "--ckpt-dir", str(shown)]
    process = child.start(settings, *api)
    try:
        _prepare(service, settings, WebUI(port), process.poll)
        while not service.ending.wait(POLL_SECONDS) and not service.failure:
            if process.poll() is not None:
                service.failure = f"the WebUI ended with {process.returncode}"
        if service.failure:
            sys.stderr.write(f"failed: {service.failure}\n")
            service.ending.wait(LINGER_SECONDS)
    finally:
        service.end()
        child.stop(process)
        server.shutdown()
    return 1 if service.failure else 0


def _prepare(service: Service, settings: Settings, webui: WebUI, ended: Callable[[], int | None]) -> None:
    """Wait until the WebUI answers and has our extension; then tasks are answered."""
    from diffusion import s3  # boto3 is slow to import; /ping answers meanwhile
    from diffusion.cache import Cache

    from webui_image.painter import Painter

    cache = Cache(settings.checkpoints / "kept", settings.capacity, s3.S3(s3.client()))
    painter = Painter(webui, cache, settings.checkpoints / "shown")
    while not service.ending.wait(POLL_SECONDS) and ended() is None:
        try:
            scripts = webui.scripts()
        except Refused:
            continue  # it is getting ready
        if EXTENSION not in scripts:
            service.failure = f"the WebUI started without our extension: its scripts are {sorted(scripts)}"
        else:
            service.close, service.answer = painter.close, painter.answer
        return


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
